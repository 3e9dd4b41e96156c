"""`catga bench`: a quick look at what this machine does; the real comparison lives in benches/."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from catga.app import Catga
from catga.cli.arguments import AsJson
from catga.cli.output import note, print_json, print_table
from catga.context import Context
from catga.messages import Command, Event
from catga.transaction import Transaction

BATCH = 500
"""Commands enqueued in one commit, and sends between two looks at the clock."""

Seconds = Annotated[float, typer.Option(min=0.05, help="How long each row runs.")]
Folder = Annotated[
    Path | None, typer.Option("--dir", help="Where the SQLite file goes; default: the temporary folder.")
]

PATIENCE = 60.0
"""Seconds after which a machine that has handled nothing never will."""


class Row(msgspec.Struct, frozen=True):
    """One measure."""

    what: str
    per_second: int
    microseconds: float
    count: int


class Ping(Command[int], name="catga.bench.Ping"):
    """Is answered at once."""

    number: int


class Pinged(Event, name="catga.bench.Pinged"):
    """Is heard at once."""

    number: int


class Record(Command, name="catga.bench.Record"):
    """Is written down."""

    number: int


def bench(seconds: Seconds = 2.0, folder: Folder = None, as_json: AsJson = False) -> None:
    """Measure this machine: sending, publishing, durable work."""
    with tempfile.TemporaryDirectory(prefix="catga-bench-", dir=folder) as place:
        rows = asyncio.run(_measure(seconds, Path(place, "bench.db")))
    if as_json:
        print_json(rows)
        return
    print_table("", ("what", "#per second", "#µs each", "#count"), [_shown(row) for row in rows])
    note("one process, one loop, SQLite with synchronous=FULL; a look, not a comparison")


def _shown(row: Row) -> tuple[str, str, str, str]:
    return (row.what, f"{row.per_second:,}", f"{row.microseconds:,.2f}", f"{row.count:,}")


async def _measure(seconds: float, file: Path) -> list[Row]:
    app = Catga("bench")
    app.handler(Ping)(_ping)
    app.handler(Pinged)(_heard)
    async with app:
        rows = [
            await _timed("send, in this process", seconds, BATCH, lambda number: app.send(Ping(number))),
            await _timed("publish, in this process", seconds, BATCH, lambda number: app.publish(Pinged(number))),
        ]
    return rows + await _durable(seconds, file)


async def _durable(seconds: float, file: Path) -> list[Row]:
    app = Catga("bench", store=f"sqlite:///{file}")
    app.handler(Record)(_record)
    await app.start(work=False)
    try:
        await app.send(Record(-1))
        one = await _timed("send, committed one by one", seconds, 1, lambda number: app.send(Record(number)))
        many = await _timed_batches(app, seconds)
    finally:
        await app.stop()
    return [one, many, await _timed_handling(app, many.count, seconds)]


async def _timed_handling(app: Catga, waiting: int, seconds: float) -> Row:
    started = now = time.perf_counter()
    done = 0
    async with app, asyncio.timeout(seconds + PATIENCE):
        while done < waiting and (now - started < seconds or done == 0):
            await asyncio.sleep(0.001)
            done, now = app.statistics()["done"], time.perf_counter()
    return _row("handle and commit", done, now - started)


async def _timed(what: str, seconds: float, stride: int, call: Callable[[int], Awaitable[object]]) -> Row:
    """The clock is read every `stride` calls, so that reading it is not what is measured."""
    started = now = time.perf_counter()
    count = 0
    while now - started < seconds:
        for number in range(stride):
            await call(number)
        count += stride
        now = time.perf_counter()
    return _row(what, count, now - started)


async def _timed_batches(app: Catga, seconds: float) -> Row:
    row = await _timed("", seconds, 1, lambda _: app.enqueue_many([Record(number) for number in range(BATCH)]))
    return _row(f"enqueue, {BATCH} a commit", row.count * BATCH, row.count * row.microseconds / 1e6)


def _row(what: str, count: int, seconds: float) -> Row:
    return Row(what, int(count / seconds), round(seconds / max(1, count) * 1e6, 3), count)


async def _ping(ping: Ping) -> int:
    return ping.number


async def _heard(event: Pinged) -> None:
    pass


async def _record(record: Record, ctx: Context, tx: Transaction) -> None:
    tx.execute("create table if not exists bench (number integer)") if record.number < 0 else None
    tx.execute("insert into bench values (?)", record.number)
