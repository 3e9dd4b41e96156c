"""What commands print: tables for people, JSON for machines, errors on stderr."""

import os
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Literal, cast

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 200
"""Columns of a table that goes to a file or a pipe: nothing there needs to fit a screen."""

UNFOLDED = 40
"""A first column up to this width is kept whole, so that names can be copied from it."""


def print_json(value: Any, one_line: bool = False) -> None:
    """One line of JSON; indented where a person watches and did not ask for one."""
    data = msgspec.json.encode(value, enc_hook=str)
    typer.echo((data if one_line or not sys.stdout.isatty() else msgspec.json.format(data, indent=2)).decode())


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str = "none") -> None:
    """A table without frames; long cells are folded, never cut."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    lines = [[cell if isinstance(cell, Text) else Text(_cell(cell)) for cell in row] for row in rows]
    whole = max((len(line[0]) for line in lines), default=0) <= UNFOLDED
    for number, column in enumerate(columns):
        justify: Literal["right", "left"] = "right" if column.startswith("#") else "left"
        table.add_column(column.removeprefix("#"), justify=justify, overflow="fold", no_wrap=whole and number == 0)
    for line in lines:
        table.add_row(*line)
    console = _console()
    if title:
        console.print(Text(title, "bold"))
    console.print(table if table.row_count else Text(empty, "dim"))
    console.print()


def print_fields(rows: Iterable[tuple[str, Any]]) -> None:
    """Names and values, one a line; what has no value is left out."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        if value not in (None, "", ()):
            table.add_row(name, value if isinstance(value, Text) else Text(_cell(value)))
    console = _console()
    console.print(table)
    console.print()


@contextmanager
def counting(what: str) -> Generator[Callable[[int], object]]:
    """A count that grows on stderr while something runs; nothing where there is no terminal."""
    console = Console(stderr=True)
    with console.status(f"{what}: 0") as status:
        yield lambda count: status.update(f"{what}: {count:,}")


def styled(text: str, style: str) -> Text:
    """A cell in a colour, where there is a terminal."""
    return Text(text, style)


def note(text: str) -> None:
    """A line beside the result, on stderr."""
    typer.echo(text, err=True)


def complain(text: str) -> None:
    """An error's own text, on stderr; red where there is a terminal."""
    first, _, rest = text.partition("\n")
    typer.secho(first, err=True, fg="red" if sys.stderr.isatty() else None)
    if rest:
        typer.echo(rest, err=True)


def _console() -> Console:
    terminal = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if terminal else WIDE)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, cast("tuple[object, ...]", value))) or "-"
    return str(value)
