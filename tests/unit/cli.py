"""The command line in this process, on app modules made for a test."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from catga.cli.root import commands

APP = """
from collections.abc import AsyncIterator
from catga import Catga, Command, Err, Event, Ok, Query, Result, Retry, StreamQuery, Transaction

class Add(Command[int], key="cart"):
    cart: str
    count: int = 1

class Buy(Command[Result[int, str]]):
    count: int

class Bought(Event):
    cart: str

class Count(Query[dict[str, int]]):
    cart: str

class Each(StreamQuery[int]):
    upto: int

app = Catga("shop")

@app.handler(Add)
async def add(cmd: Add) -> int:
    if cmd.count < 0:
        raise ValueError("too few")
    return cmd.count

@app.handler(Buy)
async def buy(cmd: Buy) -> Result[int, str]:
    return Ok(cmd.count) if cmd.count else Err("nothing")

@app.handler(Bought)
async def bought(event: Bought) -> None:
    if event.cart == "lost":
        raise KeyError(event.cart)

@app.handler(Count)
async def count(query: Count) -> dict[str, int]:
    return {query.cart: len(query.cart)}

@app.handler(Each)
async def each(query: Each) -> AsyncIterator[int]:
    for number in range(query.upto):
        yield number
"""


class Shell:
    """Runs commands in a folder of their own; what a test wrote there can be imported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(commands, list(arguments), input=stdin)

    def ok(self, *arguments: str, stdin: str | None = None) -> str:
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "--json"))

    def refused(self, *arguments: str, code: int = 2, stdin: str | None = None) -> str:
        """What stderr says; nothing of it is a traceback."""
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result.stderr


@contextmanager
def make_shell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """In `folder`, with nothing imported left behind afterwards."""
    names = set(sys.modules)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "modules", sys.modules)
    monkeypatch.delenv("CATGA_STORE", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    shell = Shell(folder)
    shell.write("shop.py", APP)
    yield shell
    _forget(names)


def _forget(names: set[str]) -> None:
    """Modules that a test has imported, so that the next one reads its own."""
    for name in set(sys.modules) - names:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if "pytest-of" in file:
            del sys.modules[name]
