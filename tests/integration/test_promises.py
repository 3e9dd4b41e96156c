"""The promises of docs/guarantees.md, each kept by a test in front of a real file."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from catga import Catga, Command, Context, Err, Event, Ok, Queue, Result, Retry, Transaction
from catga.backends.sqlite import SqliteOptions, SqliteStore
from catga.clock import SystemClock
from catga.errors import QueueFull, StatementFailed
from catga.ports.store import Commit, Unit
from catga.transaction import Statement

QUICK = Retry(delayed=3, first=0.01, jitter=0)


class Add(Command[int], key="name", name="Add"):
    name: str
    amount: int


class Added(Event, key="name", name="Added"):
    name: str
    amount: int


class Change(Command[Result[int, str]], name="Change"):
    amount: int


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "promises.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("create table log (no integer primary key, name text, amount integer unique)")
    return path


@pytest.fixture
def log(path: Path) -> Iterator[Any]:
    with closing(sqlite3.connect(path)) as database:
        yield lambda: database.execute("select name, amount from log order by no").fetchall()


def app_on(path: Path, **options: Any) -> Catga:
    return Catga("promises", store=f"sqlite:///{path}?lease=0.5", retry=QUICK, **options)


def adding(path: Path, **options: Any) -> Catga:
    app = app_on(path, **options)

    @app.handler(Add, id="add")
    async def add(cmd: Add, tx: Transaction) -> int:
        tx.execute("insert into log (name, amount) values (?, ?)", cmd.name, cmd.amount)
        return cmd.amount

    return app


SENDER = """
import asyncio, os, sys
from catga import Catga, Command
class Add(Command[int], key="name", name="Add"):
    name: str
    amount: int
async def main():
    app = Catga("promises", store=sys.argv[1], messages=(Add,))
    await app.start(work=False)
    for amount in range(100):
        await app.enqueue(Add("a", amount))
        print(amount, flush=True)
    os._exit(9)
asyncio.run(main())
"""


async def test_what_was_acknowledged_outlives_its_process(path: Path, log: Any) -> None:
    command = [sys.executable, "-c", SENDER, f"sqlite:///{path}"]
    sender = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert sender.returncode == 9, sender.stderr
    acknowledged = [int(line) for line in sender.stdout.split()]
    assert len(acknowledged) == 100
    async with adding(path) as app:
        await app.settled()
    assert [amount for _, amount in log()] == acknowledged


async def test_the_same_id_has_one_effect(path: Path, log: Any) -> None:
    async with adding(path) as app:
        id = app.ids.next(app.clock.wall_ms()).hex()
        for _ in range(3):
            await app.enqueue(Add("a", 1), id=id)
        await app.settled()
        assert app.statistics()["done"] == 1
        assert app.statistics()["dead"] == 0
    assert log() == [("a", 1)]


async def test_asking_again_gives_the_stored_reply(path: Path, log: Any) -> None:
    async with adding(path) as app:
        id = app.ids.next(app.clock.wall_ms()).hex()
        first = await app.send(Add("a", 7), id=id)
        assert await app.send(Add("a", 7), id=id) == first == 7
    async with adding(path) as app:
        assert await app.send(Add("a", 7), id=id) == 7
    assert log() == [("a", 7)]


async def test_a_key_keeps_its_order_through_failures(path: Path, log: Any) -> None:
    app = app_on(path)
    tries: dict[int, int] = {}

    @app.handler(Added, id="log")
    async def note(event: Added, tx: Transaction) -> None:
        tries[event.amount] = tries.get(event.amount, 0) + 1
        if event.amount % 7 == 3 and tries[event.amount] < 3:
            raise ConnectionError
        tx.execute("insert into log (name, amount) values (?, ?)", event.name, event.amount)

    async with app:
        for amount in range(60):
            await app.publish(Added("ab"[amount % 2], amount))
        await app.settled()
    assert [amount for name, amount in log() if name == "a"] == list(range(0, 60, 2))
    assert [amount for name, amount in log() if name == "b"] == list(range(1, 60, 2))
    assert max(tries.values()) == 3


@pytest.mark.parametrize("amount", [1, -1, 0], ids=["commits", "raises", "refuses"])
async def test_what_a_handler_publishes_leaves_with_its_commit_only(path: Path, log: Any, amount: int) -> None:
    app = app_on(path)
    heard: list[int] = []

    @app.handler(Change, id="change")
    async def change(cmd: Change, ctx: Context, tx: Transaction) -> Result[int, str]:
        tx.execute("insert into log (name, amount) values ('change', ?)", cmd.amount)
        ctx.publish(Added("a", cmd.amount))
        if cmd.amount < 0:
            raise ValueError("negative")
        return Ok(cmd.amount) if cmd.amount else Err("nothing")

    @app.handler(Added, id="hear")
    async def hear(event: Added) -> None:
        heard.append(event.amount)

    async with app:
        if amount < 0:
            with pytest.raises(ValueError, match="negative"):
                await app.send(Change(amount))
        else:
            assert await app.send(Change(amount)) == (Ok(1) if amount else Err("nothing"))
        await app.settled()
    assert heard == ([1] if amount > 0 else [])
    assert log() == ([("change", 1)] if amount > 0 else [])


async def test_a_failing_statement_undoes_its_own_handler_alone(path: Path, log: Any) -> None:
    async with adding(path) as app:
        done = await asyncio.gather(*(app.send(Add("a", amount)) for amount in (1, 2, 1, 3)), return_exceptions=True)
    assert sorted(type(reply).__name__ for reply in done) == ["StatementFailed", "int", "int", "int"]
    assert isinstance(done[2], StatementFailed)
    assert sorted(amount for _, amount in log()) == [1, 2, 3]


async def test_what_fails_for_good_is_kept_with_its_reason(path: Path) -> None:
    app = app_on(path)

    @app.handler(Added, id="fail")
    async def fail(event: Added) -> None:
        raise RuntimeError("no boxes left")

    async with app:
        receipt = await app.publish(Added("a", 1))
        await app.settled()
        assert app.statistics()["dead"] == 1
    store = SqliteStore(SqliteOptions.parse(f"sqlite:///{path}"), SystemClock())
    await store.open()
    (letter,) = await store.dead(10)
    await store.close()
    assert letter.id.hex() == receipt.id
    assert letter.failures == 4
    assert "no boxes left" in letter.reason


async def test_a_schedule_outlives_its_process(path: Path, log: Any) -> None:
    async with adding(path) as app:
        await app.schedule(Add("a", 1), delay=0.3)
        cancelled = await app.schedule(Add("a", 2), delay=0.3)
        assert await app.cancel(cancelled)
    async with adding(path) as app:
        await asyncio.sleep(0.5)
        await app.settled()
    assert log() == [("a", 1)]


async def test_stopping_gives_back_what_is_not_finished(path: Path, log: Any) -> None:
    slow = app_on(path, stop_within=0.05)
    began = asyncio.Event()

    @slow.handler(Add, id="add")
    async def hang(cmd: Add, tx: Transaction) -> int:
        began.set()
        await asyncio.sleep(60)
        return 0

    async with slow:
        await slow.enqueue(Add("a", 1))
        await began.wait()
    async with adding(path) as app:
        await app.settled()
        assert app.statistics()["dead"] == 0
    assert log() == [("a", 1)]


async def test_who_lost_its_part_writes_nothing(path: Path, log: Any) -> None:
    store = SqliteStore(SqliteOptions.parse(f"sqlite:///{path}"), SystemClock())
    await store.open()
    old = await store.claim("scope", "old", 1, 0.05)
    await asyncio.sleep(0.1)
    new = await store.claim("scope", "new", 1, 5.0)
    insert = [Statement("insert into log (name, amount) values ('x', 1)", ())]
    outcomes = await store.commit(
        [Unit(statements=insert, leases=old.leases), Unit(statements=insert, leases=new.leases)]
    )
    await store.close()
    assert [outcome.commit for outcome in outcomes] == [Commit.STALE, Commit.COMMITTED]
    assert log() == [("x", 1)]


async def test_a_queue_in_memory_is_bounded() -> None:
    app = Catga("bounded", queue=Queue(capacity=5, policy="reject", concurrency=1))
    go = asyncio.Event()

    @app.handler(Add)
    async def wait(cmd: Add) -> int:
        await go.wait()
        return 0

    async with app:
        with pytest.raises(QueueFull):
            await app.enqueue_many([Add(str(amount), amount) for amount in range(100)])
        assert app.statistics()["queued"] == 5
        go.set()


def test_one_app_runs_in_one_loop_after_the_other(path: Path, log: Any) -> None:
    app = adding(path)

    async def once(amount: int) -> int:
        async with app:
            return await app.send(Add("a", amount))

    assert [asyncio.run(once(amount)) for amount in (1, 2, 3)] == [1, 2, 3]
    assert len(log()) == 3
