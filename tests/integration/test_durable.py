"""The durable path on a real file, from the public API: what commits, what is retried, what waits, what dies."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from catga import Batch, Catga, Command, Connection, Context, Err, Event, Ok, Query, Result, Retry, Transaction
from catga.backends.sqlite import SqliteStore
from catga.errors import (
    Conflict,
    ForbiddenStatement,
    InvalidArgument,
    ItemsFailed,
    OutcomeUnknown,
    StatementFailed,
    StoreUnavailable,
    TooLarge,
    WouldDeadlock,
)

ID = "0" * 31 + "1"


class Put(Command[int], key="key"):
    key: str
    value: int


class PutAlone(Command[int]):
    value: int


class Refuse(Command[Result[int, str]]):
    value: int


class Count(Query[int]):
    pass


class Added(Event, key="key"):
    key: str
    value: int


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    rows(path, "create table t (key text, value integer unique)")
    return path


def rows(path: Path, sql: str) -> Sequence[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        with connection:
            return connection.execute(sql).fetchall()
    finally:
        connection.close()


def make(path: Path, **options: Any) -> Catga:
    options.setdefault("retry", Retry(delayed=2, first=0.01))
    return Catga("durable", store=f"sqlite:///{path}?synchronous=NORMAL", **options)


async def test_reply_comes_after_the_commit_and_with_an_id_only_once(path: Path) -> None:
    app = make(path)

    @app.handler(Put)
    async def put(cmd: Put, ctx: Context, tx: Transaction) -> int:
        tx.execute("insert into t values (?, ?)", cmd.key, cmd.value)
        return cmd.value * 10

    async with app:
        assert await app.send(Put("a", 1), id=ID) == 10
        assert rows(path, "select value from t") == [(1,)]
        assert await app.send(Put("a", 2), id=ID) == 10
    assert rows(path, "select value from t") == [(1,)]


async def test_err_rolls_back_and_is_remembered(path: Path) -> None:
    app = make(path)
    heard: list[int] = []

    @app.handler(Refuse)
    async def refuse(cmd: Refuse, ctx: Context, tx: Transaction) -> Result[int, str]:
        tx.execute("insert into t values ('x', ?)", cmd.value)
        ctx.publish(Added("x", cmd.value))
        return Err("no") if cmd.value == 1 else Ok(cmd.value)

    @app.handler(Added)
    async def hear(event: Added) -> None:
        heard.append(event.value)

    async with app:
        assert await app.send(Refuse(1), id=ID) == Err("no")
        assert await app.send(Refuse(2), id=ID) == Err("no")
        assert await app.send(Refuse(3)) == Ok(3)
        await app.settled()
    assert rows(path, "select value from t") == [(3,)]
    assert heard == [3]


async def test_a_failing_statement_fails_its_sender_alone(path: Path) -> None:
    app = make(path)

    @app.handler(Put)
    async def put(cmd: Put, tx: Transaction) -> int:
        tx.execute("insert into t values (?, ?)", cmd.key, cmd.value)
        return cmd.value

    async with app:
        outcomes = await asyncio.gather(*(app.send(Put("a", n)) for n in (1, 2, 2, 3)), return_exceptions=True)
    assert outcomes[:2] == [1, 2]
    assert isinstance(outcomes[2], StatementFailed)
    assert outcomes[3] == 3
    assert rows(path, "select value from t") == [(1,), (2,), (3,)]


@pytest.mark.parametrize("sql", ["commit", "/* x */ rollback", "pragma synchronous = off", "delete from catga_marks"])
async def test_sql_that_would_end_the_group_is_refused(path: Path, sql: str) -> None:
    app = make(path)

    @app.handler(PutAlone)
    async def put(cmd: PutAlone, tx: Transaction) -> int:
        tx.execute(sql if cmd.value == 0 else "insert into t values ('a', 1)")
        return 1

    async with app:
        bad, good = await asyncio.gather(app.send(PutAlone(0)), app.send(PutAlone(1)), return_exceptions=True)
    assert isinstance(bad, ForbiddenStatement)
    assert good == 1
    assert rows(path, "select value from t") == [(1,)]


async def test_expect_is_tried_again_on_what_is_there_now(path: Path) -> None:
    rows(path, "insert into t values ('stock', 5)")
    app = make(path)

    @app.handler(PutAlone)
    async def take(cmd: PutAlone, tx: Transaction) -> int:
        ((left,),) = await tx.fetch("select value from t where key = 'stock'")
        tx.execute("update t set value = ? where key = 'stock' and value = ?", left - 1, left, expect=1)
        return int(left) - 1

    @app.handler(Put)
    async def never(cmd: Put, tx: Transaction) -> int:
        tx.execute("update t set value = 0 where key = 'nothing'", expect=1)
        return 0

    async with app:
        assert sorted(await asyncio.gather(*(app.send(PutAlone(0)) for _ in range(5)))) == [0, 1, 2, 3, 4]
        with pytest.raises(Conflict):
            await app.send(Put("a", 1))
    assert rows(path, "select value from t") == [(0,)]


async def test_later_messages_of_a_key_wait_for_the_retry_of_an_earlier_one(path: Path) -> None:
    app = make(path)
    seen: list[tuple[str, int, int]] = []

    @app.handler(Put)
    async def put(cmd: Put, ctx: Context) -> int:
        seen.append((cmd.key, cmd.value, ctx.attempt))
        if (cmd.key, cmd.value) == ("a", 2) and ctx.attempt < 3:
            raise ValueError("not yet")
        return 0

    async with app:
        await app.enqueue_many([Put(key, n) for n in range(6) for key in "ab"])
        await app.settled()
    assert [(value, attempt) for key, value, attempt in seen if key == "a"] == [
        (0, 1),
        (1, 1),
        (2, 1),
        (2, 2),
        (2, 3),
        (3, 1),
        (4, 1),
        (5, 1),
    ]
    assert [value for key, value, _ in seen if key == "b"] == list(range(6))


async def test_after_the_last_try_a_dead_letter_with_its_history_and_the_key_goes_on(path: Path) -> None:
    app = make(path)
    done: list[int] = []

    @app.handler(Put, id="put")
    async def put(cmd: Put) -> int:
        if cmd.value == 1:
            raise ValueError("never")
        done.append(cmd.value)
        return 0

    async with app:
        await app.enqueue_many([Put("a", n) for n in range(3)])
        await app.settled()
        statistics = app.statistics()
    assert done == [0, 2]
    assert (statistics["dead"], statistics["retried"]) == (1, 2)
    assert rows(path, "select failures, state from catga_parked") == [(3, "dead")]


async def test_a_batch_loses_only_the_items_that_fail(path: Path) -> None:
    app = make(path, retry=Retry(delayed=0))
    sizes: list[int] = []

    @app.handler(Added, batch=Batch(size=10, wait=0.05))
    async def add(events: list[Added], tx: Transaction) -> None:
        sizes.append(len(events))
        for event in events:
            tx.execute("insert into t values (?, ?)", event.key, event.value)
        bad = {n: ValueError("bad item") for n, event in enumerate(events) if event.value == 3}
        if bad:
            raise ItemsFailed(bad)

    @app.handler(PutAlone)
    async def publish(cmd: PutAlone, ctx: Context) -> int:
        for n in range(10):
            ctx.publish(Added(f"key-{n}", n if n != 7 else 6))
        return 0

    async with app:
        await app.send(PutAlone(0))
        await app.settled()
        dead = app.statistics()["dead"]
    assert [value for (value,) in rows(path, "select value from t order by value")] == [0, 1, 2, 4, 5, 6, 8, 9]
    assert dead == 2
    assert sizes[0] == 10


async def test_a_connection_reads_its_own_writes_and_is_fenced_from_waiting_for_itself(path: Path) -> None:
    app = make(path)

    @app.handler(PutAlone)
    async def put(cmd: PutAlone, ctx: Context, connection: Connection) -> int:
        await connection.execute("insert into t values ('c', ?)", cmd.value)
        if cmd.value == 2:
            await ctx.send(Put("a", 9))
        return int((await connection.fetch("select count(*) from t"))[0][0])

    @app.handler(Put)
    async def other(cmd: Put, tx: Transaction) -> int:
        tx.execute("insert into t values (?, ?)", cmd.key, cmd.value)
        return 0

    async with app:
        assert await app.send(PutAlone(1)) == 1
        with pytest.raises(WouldDeadlock):
            await app.send(PutAlone(2))
        assert await app.send(Put("a", 3)) == 0
    assert rows(path, "select value from t") == [(1,), (3,)]


@pytest.mark.parametrize("key", ["k", None])
async def test_a_durable_message_may_have_a_connection_and_is_tried_again_like_any_other(
    path: Path, key: str | None
) -> None:
    app = make(path, retry=Retry(delayed=1, first=0.01))
    attempts: list[tuple[int, int]] = []

    class Write(Command, key="key"):
        key: str | None
        value: int

    @app.handler(Write, id="write")
    async def write(cmd: Write, ctx: Context, connection: Connection) -> None:
        attempts.append((cmd.value, ctx.attempt))
        await connection.execute("insert into t values ('w', ?)", cmd.value)
        ctx.publish(Added("w", cmd.value))
        if cmd.value in (1, 3) and (ctx.attempt == 1 or cmd.value == 3):
            raise ValueError("not now")

    heard: list[int] = []

    @app.handler(Added, id="hear")
    async def hear(event: Added) -> None:
        heard.append(event.value)

    async with app:
        await app.enqueue_many([Write(key, value) for value in range(5)])
        await app.settled()
        statistics = app.statistics()
    assert sorted(heard) == [0, 1, 2, 4]
    assert [value for (value,) in rows(path, "select value from t order by value")] == [0, 1, 2, 4]
    assert (statistics["dead"], statistics["retried"]) == (1, 2)
    assert statistics["channels"]["durable"] == {"open": 0, "queued": 0}
    if key is not None:
        assert attempts == [(0, 1), (1, 1), (1, 2), (2, 1), (3, 1), (3, 2), (4, 1)]


async def test_a_durable_message_with_a_connection_has_one_effect(path: Path) -> None:
    app = make(path)

    @app.handler(PutAlone)
    async def put(cmd: PutAlone, connection: Connection) -> int:
        await connection.execute("insert into t values ('c', ?)", cmd.value)
        return cmd.value

    async with app:
        for _ in range(3):
            await app.enqueue(PutAlone(1), id=ID)
        await app.settled()
        statistics = app.statistics()
    assert rows(path, "select value from t") == [(1,)]
    assert (statistics["done"], statistics["dead"]) == (1, 0)


async def test_a_durable_handler_whose_expectation_fails_runs_again_at_once_and_not_for_ever(path: Path) -> None:
    rows(path, "insert into t values ('stock', 3)")
    app = make(path, retry=Retry(delayed=0))
    runs: list[int] = []

    @app.handler(PutAlone)
    async def take(cmd: PutAlone, tx: Transaction) -> int:
        runs.append(cmd.value)
        ((left,),) = await tx.fetch("select value from t where key = 'stock'")
        wanted = left if cmd.value else -1
        tx.execute("update t set value = ? where key = 'stock' and value = ?", left - 1, wanted, expect=1)
        return 0

    async with app:
        await app.enqueue_many([PutAlone(1) for _ in range(3)])
        await app.settled()
        assert app.statistics()["retried"] == 0
        await app.enqueue(PutAlone(0))
        await app.settled()
        assert (app.statistics()["dead"], app.statistics()["done"]) == (1, 3)
    assert rows(path, "select value from t") == [(0,)]
    # Once, and ten times more.
    assert runs.count(0) == 11
    ((reason,),) = rows(path, "select reason from catga_parked")
    assert "CTG-4007" in reason


async def test_a_batch_whose_expectation_fails_runs_again(path: Path) -> None:
    rows(path, "insert into t values ('stock', 0)")
    app = make(path, retry=Retry(delayed=0))
    runs: list[int] = []

    @app.handler(Added, batch=Batch(size=4, wait=0.05))
    async def add(events: list[Added], tx: Transaction) -> None:
        runs.append(len(events))
        changed = -1 if len(runs) < 3 or any(event.value == 2 for event in events) else 0
        tx.execute("update t set value = 0 where key = 'stock' and value = ?", changed, expect=1)
        for event in events:
            tx.execute("insert into t values ('e', ?)", 100 + event.value)

    async with app:
        for value in range(4):
            await app.publish(Added(f"k{value}", value))
        await app.settled()
        assert app.statistics()["dead"] == 1
    assert rows(path, "select value from t where key = 'e' order by value") == [(100,), (101,), (103,)]


async def test_a_query_may_read_through_a_transaction(path: Path) -> None:
    rows(path, "insert into t values ('a', 1)")
    app = make(path)

    @app.handler(Count)
    async def count(query: Count, tx: Transaction) -> int:
        return int((await tx.fetch("select count(*) from t"))[0][0])

    async with app:
        assert await app.send(Count()) == 1


async def test_a_renamed_handler_knows_what_the_old_one_did(path: Path) -> None:
    for id, aliases in (("old", ()), ("new", ("old",))):
        app = make(path)

        @app.handler(Put, id=id, aliases=aliases)
        async def put(cmd: Put, tx: Transaction) -> int:
            tx.execute("insert into t values (?, ?)", cmd.key, cmd.value)
            return cmd.value

        async with app:
            assert await app.send(Put("a", 1), id=ID) == 1
    assert rows(path, "select count(*) from t") == [(1,)]


async def test_the_relay_carries_commits_to_a_queue_in_another_file(path: Path, tmp_path: Path) -> None:
    app = make(path, transport=f"sqlite:///{tmp_path / 'queue.db'}?synchronous=NORMAL")
    heard: list[int] = []
    all_heard = asyncio.Event()

    @app.handler(Put)
    async def put(cmd: Put, ctx: Context, tx: Transaction) -> int:
        tx.execute("insert into t values (?, ?)", cmd.key, cmd.value)
        ctx.publish(Added(cmd.key, cmd.value))
        return 0

    @app.handler(Added)
    async def hear(event: Added) -> None:
        heard.append(event.value)
        if len(heard) == 50:
            all_heard.set()

    async with app:
        await app.enqueue_many([Put(f"key-{n % 3}", n) for n in range(50)])
        async with asyncio.timeout(20):
            await all_heard.wait()
    assert sorted(heard) == list(range(50))
    for key in range(3):
        assert [n for n in heard if n % 3 == key] == sorted(n for n in heard if n % 3 == key)
    assert rows(path, "select count(*) from t") == [(50,)]
    assert rows(path, "select count(*) from catga_outbox") == [(0,)]


async def test_a_look_up_that_fails_loses_no_delivery(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make(path)
    handled = asyncio.Event()

    @app.handler(Put)
    async def put(cmd: Put) -> int:
        handled.set()
        return 0

    original = SqliteStore.known
    failures = [StoreUnavailable("the disk did not answer")]

    async def failing(self: SqliteStore, *args: Any) -> Any:
        if failures:
            raise failures.pop()
        return await original(self, *args)

    async with app:
        monkeypatch.setattr(SqliteStore, "known", failing)
        # Only a message whose id may have come before is looked up.
        await app.enqueue(Put("a", 1), id=app.ids.next(app.clock.wall_ms()).hex())
        async with asyncio.timeout(10):
            await handled.wait()
            await app.settled()
    assert not failures


async def test_a_batch_handler_that_cancels_itself_has_failed_and_the_next_list_runs(path: Path) -> None:
    app = make(path, retry=Retry(delayed=0))
    seen: list[int] = []

    @app.handler(Added, batch=Batch(size=4, wait=0.01))
    async def add(events: list[Added]) -> None:
        if any(event.value == 2 for event in events):
            raise asyncio.CancelledError
        seen.extend(event.value for event in events)

    async with app:
        for start in (0, 4):
            for n in range(start, start + 4):
                await app.publish(Added(f"key-{n}", n))
            async with asyncio.timeout(20):
                await app.settled()
        assert app.statistics()["dead"] == 1
    assert sorted(seen) == [0, 1, 3, 4, 5, 6, 7]
    (reason,) = rows(path, "select reason from catga_parked where state = 'dead'")
    assert "CTG-2009" in reason[0]


class Value:
    """Given for one message."""


@pytest.mark.parametrize("how", ["raises", "publishes too much", "is cut off", "succeeds"])
async def test_what_a_provider_gives_for_a_message_is_ended_with_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    app = make(path, retry=Retry(delayed=0))
    open_now = 0
    ended = asyncio.Event()

    @app.provide
    async def value() -> AsyncIterator[Value]:
        nonlocal open_now
        open_now += 1
        yield Value()
        open_now -= 1
        ended.set()

    @app.handler(Put)
    async def put(cmd: Put, ctx: Context, value: Value) -> int:
        if how == "raises":
            raise ValueError
        if how == "publishes too much":
            ctx.publish(Added("x" * 0x1_0000, 1))
        return 1

    original = SqliteStore.commit
    cut = [how == "is cut off"]

    async def commit(self: SqliteStore, units: Any) -> Any:
        if cut[0] and any(unit.marks for unit in units):
            cut[0] = False
            await original(self, units)
            raise OutcomeUnknown("the line went dead")
        return await original(self, units)

    monkeypatch.setattr(SqliteStore, "commit", commit)
    async with app:
        await app.enqueue(Put("a", 1))
        async with asyncio.timeout(20):
            await ended.wait()
            await app.settled()
        assert open_now == 0
        assert app.statistics()["dead"] == (how in ("raises", "publishes too much"))


async def test_what_a_sent_command_schedules_is_noticed_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from catga.delivery import retries

    monkeypatch.setattr(retries, "PATIENCE", 3600.0)
    app = make(path)
    heard = asyncio.Event()

    @app.handler(Put)
    async def put(cmd: Put, ctx: Context, tx: Transaction) -> int:
        ctx.schedule(Added("a", 1), delay=0.01)
        return 1

    @app.handler(Added)
    async def add(event: Added) -> None:
        heard.set()

    async with app:
        await asyncio.sleep(0.05)
        await app.send(Put("a", 1))
        async with asyncio.timeout(20):
            await heard.wait()


@pytest.mark.parametrize("id", ["", "zz", "1234", "0" * 31, "0" * 34, "g" * 32])
async def test_what_is_no_id_is_refused(path: Path, id: str) -> None:
    app = make(path)

    @app.handler(Put)
    async def put(cmd: Put, tx: Transaction) -> int:
        return 1

    async with app:
        for call in (app.enqueue(Put("a", 1), id=id), app.send(Put("a", 1), id=id), app.cancel(id)):
            with pytest.raises(InvalidArgument, match="CTG-2010"):
                await call
        assert await app.send(Put("a", 1)) == 1


NO_ZONE = datetime(2030, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize("when", [{}, {"delay": -1}, {"delay": float("nan")}, {"delay": 1e300}, {"at": NO_ZONE}])
async def test_a_moment_that_is_none_is_refused(path: Path, when: dict[str, Any]) -> None:
    app = make(path)

    @app.handler(Put)
    async def put(cmd: Put) -> int:
        return 1

    async with app:
        with pytest.raises(InvalidArgument):
            await app.schedule(Put("a", 1), **when)
        assert await app.send(Put("a", 1)) == 1


async def test_a_message_that_is_too_large_is_refused_alone(path: Path) -> None:
    app = make(path)

    @app.handler(Put)
    async def put(cmd: Put) -> int:
        return 1

    async with app:
        with pytest.raises(TooLarge):
            await app.enqueue(Put("x" * (17 * 1024 * 1024), 1))
        await app.enqueue(Put("a", 1))
        await app.settled()
        assert app.statistics()["done"] == 1
