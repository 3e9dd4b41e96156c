"""What tests of the SQLite store share."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from catga.backends.sqlite import SqliteOptions, SqliteStore
from catga.clock import SystemClock
from catga.ports import Unit
from catga.testing.conformance.base import CHANNEL, HANDLER
from catga.transaction import Statement

TABLE = Statement("create table things (id integer primary key, name text not null, data blob)", ())


def store_on(path: Path, **options: Any) -> SqliteStore:
    """Not opened."""
    return SqliteStore(SqliteOptions(str(path), **options), SystemClock())


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[SqliteStore]:
    """Open for a while, with the names of the suites."""
    store = store_on(path, **options)
    await store.open()
    try:
        await store.declare([CHANNEL, HANDLER, ""])
        yield store
    finally:
        await store.close()


def insert(number: int, name: str | None = "a", size: int = 0) -> Statement:
    """One row; a `None` name violates a constraint."""
    return Statement("insert into things values (?, ?, ?)", (number, name, bytes(size)))


async def things(store: SqliteStore) -> list[int]:
    """The ids in the table."""
    return [row[0] for row in await store.fetch("select id from things order by id", ())]


async def with_table(store: SqliteStore) -> None:
    """An empty table."""
    await store.commit([Unit(statements=[TABLE])])


def program(code: str, *args: object, before: Sequence[str] = ()) -> dict[str, Any]:
    """How a program is started in a process of its own that can import the tests."""
    command = [*before, sys.executable, "-W", "error", "-X", "dev", "-c", code, *map(str, args)]
    return {"args": command, "env": {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}}


def python(code: str, *args: object, before: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
    """Runs one to its end."""
    return subprocess.run(capture_output=True, text=True, timeout=60, **program(code, *args, before=before))
