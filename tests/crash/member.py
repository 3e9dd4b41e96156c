"""`python -m tests.crash.member ROLE GROUND BOARD INDEX LEDGER SEED`: a producer, a relay or a consumer, until it is stopped or
killed."""

import asyncio
import functools
import json
import logging
import mmap
import os
import random
import signal
import struct
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from catga import Batch, Catga, Command, Context, Event, Retry, Transaction
from catga.errors import CatgaError
from tests.crash.ledger import Ledger
from tests.crash.wrong import WRONG

SLOT = struct.Struct("<qqqq")
"""Work in hand, 1 once it works, how many messages it may have attempted, how many it has."""
SEAT, NUMBER = struct.Struct("<qq"), struct.Struct("<q")
ALLOWED_AT, ATTEMPTED_AT = SEAT.size, SEAT.size + NUMBER.size
"""Where they are in a slot: each is written by one side alone."""
KEYS = 1000
STUBBORN = 23
"""Every so many messages, one fails the first time and waits for a delayed retry; its key's later ones wait behind it."""


class Ground(NamedTuple):
    """Where everything is: the URLs of the store and the transport, and what is done wrong on purpose."""

    store: str
    transport: str
    wrong: str = ""


class Step(Command, key="key"):
    key: str
    number: int


class Stepped(Event, key="key"):
    key: str
    number: int


class Echoed(Event, key="key"):
    """In place of a row, where the store has no tables."""

    key: str
    number: int


def make_app(ground: Ground) -> Catga:
    """Sends, and relays; handles nothing."""
    return Catga(
        "steps",
        messages=(Step, Stepped, Echoed),
        store=ground.store,
        transport=ground.transport,
        retry=Retry(delayed=200, first=0.05, most=0.2),
        stop_within=10,
    )


async def stumble(cmd: Step, ctx: Context) -> None:
    """As if it asked somebody: what is taken in is in hand for a while; and some need another try."""
    await asyncio.sleep(0.001 * (cmd.number % 30))
    if cmd.number % STUBBORN == 7 and ctx.attempt == 1:
        raise ValueError("not the first time")


def with_handlers(app: Catga, worker: str) -> Catga:
    """The handlers, whose effects are counted: rows that they write."""

    @app.handler(Step, id="step")
    async def step(cmd: Step, ctx: Context, tx: Transaction) -> None:
        await stumble(cmd, ctx)
        tx.execute("insert into effects (key, number, worker) values ($1, $2, $3)", cmd.key, cmd.number, worker)
        ctx.publish(Stepped(cmd.key, cmd.number))

    @app.handler(Stepped, id="echo", batch=Batch(size=50, wait=0.02))
    async def echo(events: list[Stepped], tx: Transaction) -> None:
        for event in events:
            tx.execute("insert into echoes (key, number, worker) values ($1, $2, $3)", event.key, event.number, worker)

    return app


def with_publishers(app: Catga) -> Catga:
    """The same where the store has no tables: what they publish is counted."""

    @app.handler(Step, id="step")
    async def step(cmd: Step, ctx: Context) -> None:
        await stumble(cmd, ctx)
        ctx.publish(Stepped(cmd.key, cmd.number))

    @app.handler(Stepped, id="echo", batch=Batch(size=50, wait=0.02))
    async def echo(events: list[Stepped], ctx: Context) -> None:
        for event in events:
            ctx.publish(Echoed(event.key, event.number))

    return app


class Seat:
    """Its place on the board."""

    def __init__(self, board: mmap.mmap, index: int) -> None:
        self._board = board
        self._at = index * SLOT.size

    @property
    def allowed(self) -> int:
        return int(SLOT.unpack_from(self._board, self._at)[2])

    def tell(self, busy: int) -> None:
        SEAT.pack_into(self._board, self._at, busy, 1)

    def tell_attempted(self, messages: int) -> None:
        NUMBER.pack_into(self._board, self._at + ATTEMPTED_AT, messages)


async def produce(app: Catga, seat: Seat, ledger: Ledger, keys: list[str], chance: random.Random) -> None:
    """Each key in the order of its numbers; what became of a call that failed is not known, and its numbers are not used
    again."""
    free, _ = ledger.read()
    while True:
        seat.tell_attempted(sum(free.values()))
        while sum(free.values()) >= seat.allowed:
            seat.tell(0)
            await asyncio.sleep(0.005)
        chosen = {key: chance.randint(1, 4) for key in chance.sample(keys, 20)}
        for key, count in chosen.items():
            ledger.attempt(key, free.get(key, 0), count)
        steps = [Step(key, free.get(key, 0) + n) for key, count in chosen.items() for n in range(count)]
        seat.tell(len(steps))
        try:
            await app.enqueue_many(steps)
        except CatgaError:
            await asyncio.sleep(0.05)
        else:
            for key, count in chosen.items():
                ledger.acknowledge(key, free.get(key, 0), count)
        for key, count in chosen.items():
            free[key] = free.get(key, 0) + count
        seat.tell(0)


async def relay(app: Catga, seat: Seat) -> None:
    """Has work in hand while it publishes."""
    transport: Any = app._running.delivery._transport  # type: ignore[union-attr]
    transport.publish = telling(transport.publish, seat)
    seat.tell(0)
    await asyncio.Event().wait()


def telling(call: Callable[..., Awaitable[Any]], seat: Seat) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(call)
    async def told(batch: Any) -> Any:
        seat.tell(len(batch))
        try:
            return await call(batch)
        finally:
            seat.tell(0)

    return told


async def consume(app: Catga, seat: Seat) -> None:
    """Has in hand what was taken in and has not ended."""
    while True:
        seat.tell(sum(channel["open"] for channel in app.statistics()["channels"].values()))
        await asyncio.sleep(0.001)


async def main(role: str, ground: Ground, board: mmap.mmap, index: int, ledger: Path, seed: int) -> None:
    logging.basicConfig(format="%(asctime)s.%(msecs)03d %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    parent = os.getppid()
    seat = Seat(board, index)
    app = make_app(ground)
    if role == "consumer":
        with_publishers(app) if ground.store.startswith("redis") else with_handlers(app, str(index))
    await app.start(work=role != "producer")
    keys = [f"key-{n}" for n in range(KEYS) if n % 4 == index % 4]
    work = {
        "producer": lambda: produce(app, seat, Ledger(ledger), keys, random.Random(seed)),
        "relay": lambda: relay(app, seat),
        "consumer": lambda: consume(app, seat),
    }
    task = asyncio.ensure_future(work[role]())
    # Nobody may outlive the test that started it.
    while not stopped.is_set() and os.getppid() == parent and not task.done():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)
    if not task.done():
        task.cancel()
    await asyncio.wait([task])
    await app.stop()
    if not task.cancelled():
        task.result()


if __name__ == "__main__":
    _role, _ground, _board, _index, _ledger, _seed = sys.argv[1:]
    _where = Ground(*json.loads(_ground))
    if _where.wrong:
        WRONG[_where.wrong]()
    with Path(_board).open("r+b") as _file, mmap.mmap(_file.fileno(), 0) as _map:
        asyncio.run(main(_role, _where, _map, int(_index), Path(_ledger), int(_seed)))
