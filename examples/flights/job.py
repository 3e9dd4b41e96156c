"""`make demo`: the whole year in one process, then the same rows by a plain script beside it."""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from catga.cli.process import keep_what_is_loaded, loop_factory
from catga.envelope import Codec
from catga.envelope.headers import caused_by
from flights.account import Account, account, asker, straight
from flights.app import make_app, make_tables
from flights.data import departures
from flights.messages import FlightCancelled, FlightDelayed, FlightDeparted, RebookPassengers, RecordDeparture
from flights.show import advance, console, progress, report
from plain_sqlite import plain_rate

CHUNK = 500


async def run(path: str, synchronous: str, data: list[RecordDeparture]) -> tuple[Account, float]:
    """Every departure through the app; the account and the rate (departures per second, all their events done)."""
    make_tables(path)
    app = make_app(f"sqlite:///{path}?synchronous={synchronous}")
    acknowledged: set[int] = set()
    total = 2 * len(data) + sum(departure.delay is None for departure in data)
    with progress() as bar:
        task = bar.add_task(f"messages ({synchronous})", total=total, rate=0, p50=0, p99=0)
        started = time.perf_counter()
        async with app:
            keep_what_is_loaded()

            async def watch() -> None:
                while True:
                    await asyncio.sleep(0.1)
                    statistics = app.statistics()
                    advance(bar, task, statistics["done"], time.perf_counter() - started, statistics)

            watcher = asyncio.create_task(watch())
            for start in range(0, len(data), CHUNK):
                chunk = data[start : start + CHUNK]
                await app.enqueue_many(chunk)
                acknowledged.update(departure.number for departure in chunk)
            await app.settled()
            seconds = time.perf_counter() - started
            watcher.cancel()
            statistics = app.statistics()
            advance(bar, task, statistics["done"], seconds, statistics)
    result = account(asker(path), len(data), acknowledged, statistics["redelivered"], straight(data))
    return result, len(data) / seconds


def frames() -> dict[str, bytes]:
    """A frame of each kind, as wide as the real ones."""
    sample = {
        "record": RecordDeparture(123_456, "UA1545", "UA", "N14228", "EWR", "IAH", "2013-01-01T10:00:00Z", 12),
        "departed": FlightDeparted(123_456, "UA1545", "UA"),
        "delayed": FlightDelayed(123_456, "UA1545", "UA", 12),
        "cancelled": FlightCancelled(123_456, "UA1545", "UA"),
        "rebook": RebookPassengers(123_456, "UA1545"),
    }
    codec = Codec([type(message) for message in sample.values()], "flights", {})
    cause = caused_by(bytes(16))
    return {
        name: codec.encode(message, bytes(16), 1, ext=None if name == "record" else cause).frame
        for name, message in sample.items()
    }


def main() -> int:
    """Runs with synchronous=FULL, reports, then compares both modes with the plain script."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--most", type=int, help="only so many departures")
    options.add_argument("--bar", type=float, default=0.25, help="least share of the plain script's rate")
    chosen = options.parse_args()
    data = list(departures(chosen.most))
    status = 0
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for synchronous in ("FULL", "NORMAL"):
            path = str(Path(folder) / f"{synchronous.lower()}.db")
            with asyncio.Runner(loop_factory=loop_factory("auto")) as runner:
                result, rate = runner.run(run(path, synchronous, data))
            status |= report(result) if synchronous == "FULL" else bool(result.mistakes)
            plain = plain_rate(str(Path(folder) / f"plain-{synchronous.lower()}.db"), synchronous, data, frames())
            rows.append((synchronous, rate, plain))
    for synchronous, rate, plain in rows:
        met = rate >= chosen.bar * plain
        status |= not met
        console.print(
            f"synchronous={synchronous:<7} {rate:>8,.0f} departures/s durable, a plain script writes the same rows at {plain:>8,.0f}/s: {rate / plain:.0%} (at least {chosen.bar:.0%}: {'ok' if met else 'short'})"
        )
    console.print(
        "FULL keeps every acknowledged commit through a power failure; NORMAL keeps it through any crash of a process, and may lose the last commits when the power fails."
    )
    return int(status)


if __name__ == "__main__":
    raise SystemExit(main())
