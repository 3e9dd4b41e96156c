"""What a run leaves: tables on the screen, JSON, and the page of the docs made from that JSON."""

import os
import platform
import sys
import sysconfig
from collections.abc import Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import msgspec

from benches.runner import Measured, Verdict
from catga import build_info

try:
    import rich.console
    import rich.markup
    import rich.table
except ImportError:
    rich = None  # type: ignore[assignment]

PEERS = (
    *("uvloop", "mediatr", "diator", "python-cqrs", "bubus", "janus", "culsans", "uuid_utils"),
    *("tenacity", "stamina", "aiobreaker", "aiolimiter", "msgspec"),
    *("nats-py", "asyncpg", "redis", "faststream"),
)


class Run(msgspec.Struct, frozen=True):
    """All of one run; `latest.json` is this."""

    head: dict[str, str]
    rows: list[Measured]
    bars: list[Verdict]


def head() -> dict[str, str]:
    """What a figure means nothing without."""
    cpu = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    flags = [
        flag
        for flag in (sysconfig.get_config_var("CONFIG_ARGS") or "").replace("'", "").split()
        if flag.startswith("--") and "=" not in flag
    ]
    return {
        "catga": " ".join(f"{name}={value}" for name, value in build_info().items()),
        "python": f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}",
        "build flags": " ".join(flags) or "(none)",
        "optimised": sysconfig.get_config_var("OPT") or "",
        "machine": f"{cpu or platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release().partition('-')[0]}",
        "load": f"{os.getloadavg()[0]:.1f} at the start",
        "peers": ", ".join(f"{name} {version(name)}" for name in PEERS),
    }


def tables(rows: Sequence[Measured]) -> list[tuple[str, list[tuple[str, ...]]]]:
    """(title, lines) for each group: a column for each loop with best and middle, and the ratio to the best row."""
    made = []
    for (group, unit), found in groupby(rows, key=lambda row: (row.group, row.unit)):
        kept = list(found)
        loops = list(dict.fromkeys(row.loop for row in kept))
        lines = [("", *(f"{loop}, {unit}" for loop in loops), f"x best, {loops[-1]}")]
        best = min(row.minimum for row in kept if row.loop == loops[-1])
        for name in dict.fromkeys(row.name for row in kept):
            cells = {row.loop: row for row in kept if row.name == name}
            last = cells.get(loops[-1])
            lines.append(
                (
                    name,
                    *(_cell(cells.get(loop)) for loop in loops),
                    f"{last.minimum / best:.2f}" if last and best else "-",
                )
            )
        made.append((group, lines))
    return made


def show(run: Run) -> None:
    """Head and tables on the screen."""
    for name, value in run.head.items():
        print(f"{name:12} {value}")
    for title, lines in tables(run.rows):
        if rich is None:
            print(f"\n{title}")
            for line in lines:
                print("  ".join([f"{line[0]:44}", *(f"{cell:>22}" for cell in line[1:])]))
            continue
        table = rich.table.Table(title=title, title_justify="left")
        for column, name in enumerate(lines[0]):
            table.add_column(name, justify="right" if column else "left")
        for line in lines[1:]:
            table.add_row(*map(rich.markup.escape, line))
        rich.console.Console(width=130 if not sys.stdout.isatty() else None).print(table)


def page(run: Run) -> str:
    """docs/benchmarks.md."""
    parts = [_INTRODUCTION, "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in run.head.items()), ""]
    parts += ["## Bars", "", "| bar | ratio | goal | |", "|---|--:|--:|---|"]
    parts += [
        f"| {bar.name} | {'-' if bar.ratio is None else f'{bar.ratio:.3g}'} | {bar.goal:g} | {bar.outcome} |"
        for bar in run.bars
    ]
    for title, lines in tables(run.rows):
        parts += ["", f"## {title[0].upper()}{title[1:]}", "", _line(lines[0]), "|---|" + "--:|" * (len(lines[0]) - 1)]
        parts += [_line(line) for line in lines[1:]]
    return "\n".join(parts) + "\n"


_INTRODUCTION = """\
# Benchmarks

Written by `make bench-page` from `benches/results/latest.json`, which `make bench` leaves: do not edit. All rows of a
table were measured in one run, in turn, round after round; a cell is the best round (the median in brackets), and less
is better. About 20 ns of each figure is the measuring loop. The rows that Catga loses are here too. A ratio of a bar is
that of the best rounds, on uvloop where there is a choice.
"""


def save(run: Run, path: Path) -> None:
    """As JSON, a row a line, so that two runs can be compared by eye."""
    path.parent.mkdir(exist_ok=True)
    parts = msgspec.json.decode(msgspec.json.encode(run), type=dict[str, msgspec.Raw])
    lines = [f'"head": {bytes(parts["head"]).decode()}']
    for name in ("rows", "bars"):
        items = msgspec.json.decode(parts[name], type=list[msgspec.Raw])
        lines.append(f'"{name}": [\n' + ",\n".join(bytes(item).decode() for item in items) + "\n]")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def load(path: Path) -> Run:
    """What `save` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Run)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cell(row: Measured | None) -> str:
    return "-" if row is None else f"{_figure(row.minimum)} ({_figure(row.median)})"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
