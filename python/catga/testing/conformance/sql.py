"""Stores with tables: what a handler's statements may do to others, and what they may not."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from catga.errors import CatgaError, Conflict, ForbiddenStatement, HoldLimitExceeded, StatementFailed
from catga.ports import Commit, Store, Unit
from catga.testing.clock import SteeredClock
from catga.testing.conformance.base import (
    Conformance,
    MakeStore,
    Stores,
    bad,
    committed,
    fates,
    mark,
    marked,
    message,
    rounds,
)
from catga.testing.conformance.store import STEPS
from catga.transaction import Connection, Statement

INSERT = "insert into things (id, name) values (?, ?)"

ENDING = (
    "commit",
    "COMMIT TRANSACTION",
    "end",
    "rollback",
    "begin",
    "begin immediate",
    "savepoint mine",
    "release mine",
    "rollback to mine",
    "-- a remark\ncommit",
    "/* a remark */ rollback",
    "/* one */ /* two */\n\t savepoint catga",
    "release catga",
    "rollback to catga",
    "commit /* catga */",
)
"""Statements that would end, nest or escape the shared commit."""

OWN = (
    "delete from catga_queue",
    "delete from catga_marks",
    "DELETE FROM CATGA_MARKS where 1",
    'update "catga_leases" set epoch = 0',
    "insert into catga_names (name) values ('mine')",
    "drop table catga_parked",
    "alter table catga_queue rename to things_queue",
    "alter table catga_marks add column mine integer",
    "create index mine on catga_queue (frame)",
    "create trigger mine after insert on catga_queue begin delete from things; end",
    "-- a remark\ndelete from catga_outbox",
    "with gone as (select 1) delete from catga_schema",
)
"""Statements that would write Catga's own tables."""


class SqlStoreConformance(Conformance):
    """SQL with `?` for arguments; override `text` where a database writes them otherwise."""

    table = "create table things (id integer primary key, name text not null)"
    forbidden: Sequence[str] = (*ENDING, *OWN)

    one_writer = True
    """Exclusive work keeps others from writing; elsewhere only from what it has locked."""

    async def spoil(self, connection: Connection) -> None:
        """What a careless handler leaves on the driver's connection."""
        connection.raw.row_factory = _as_dict

    def text(self, sql: str) -> str:
        """A statement of this suite in the store's dialect."""
        return sql

    def insert(self, number: int, name: str | None = "a", expect: int | None = None) -> Statement:
        """Adds a row; a `None` name violates a constraint."""
        return Statement(self.text(INSERT), (number, name), expect)

    async def store(self, stores: Stores) -> Store:
        """With an empty table."""
        store = await stores.open()
        await committed(store, Unit(statements=[Statement(self.table, ())]))
        return store

    async def things(self, store: Store) -> list[int]:
        """The ids in the table."""
        return [row[0] for row in await store.fetch("select id from things order by id", ())]

    # -- statements ---------------------------------------------------------------------------------------------------

    async def test_statements_and_marks_are_one(self, stores: Stores) -> None:
        store = await self.store(stores)
        await committed(store, Unit(statements=[self.insert(1), self.insert(2)], marks=[mark(1)]))
        assert fates(await store.commit([Unit(statements=[self.insert(3)], marks=[mark(1)])])) == [Commit.DUPLICATE]
        assert await self.things(store) == [1, 2]

    @pytest.mark.parametrize("place", [0, 2, 4])
    async def test_a_constraint_fails_its_unit_alone(self, stores: Stores, place: int) -> None:
        store = await self.store(stores)
        units = [
            Unit(statements=[self.insert(n), self.insert(100 + n)], marks=[mark(n)], publish=[message(n)])
            for n in range(5)
        ]
        units[place].statements = [self.insert(place), self.insert(100 + place, None)]
        outcomes = await store.commit(units)
        assert fates(outcomes) == [Commit.FAILED if n == place else Commit.COMMITTED for n in range(5)]
        assert isinstance(outcomes[place].error, StatementFailed)
        others = [n for n in range(5) if n != place]
        assert await self.things(store) == others + [100 + n for n in others]
        assert await marked(store, *range(5)) == others
        assert await store.pending() == 4

    async def test_a_unit_sees_what_earlier_ones_wrote(self, stores: Stores) -> None:
        store = await self.store(stores)
        units = [
            Unit(statements=[self.insert(1)]),
            Unit(statements=[self.insert(1)]),
            Unit(statements=[self.insert(2)]),
        ]
        assert fates(await store.commit(units)) == [Commit.COMMITTED, Commit.FAILED, Commit.COMMITTED]
        assert await self.things(store) == [1, 2]

    async def test_what_a_failed_unit_wrote_is_free_for_the_next(self, stores: Stores) -> None:
        store = await self.store(stores)
        units = [Unit(statements=[self.insert(1), bad()]), Unit(statements=[self.insert(1)])]
        assert fates(await store.commit(units)) == [Commit.FAILED, Commit.COMMITTED]

    async def test_expect_counts_the_rows_touched(self, stores: Stores) -> None:
        store = await self.store(stores)
        await committed(store, Unit(statements=[self.insert(1, expect=1), self.insert(2)]))
        rename = Statement(self.text("update things set name = 'b' where id = ?"), (1,), 1)
        missing = Statement(self.text("update things set name = 'b' where id = ?"), (9,), 1)
        none = Statement(self.text("delete from things where id = ?"), (9,), 0)
        two = Statement(self.text("update things set name = 'c' where id < ?"), (9,), 2)
        outcomes = await store.commit(
            [
                Unit(statements=[self.insert(3), missing], marks=[mark(1)]),
                Unit(statements=[rename, none, two], marks=[mark(2)]),
            ]
        )
        assert fates(outcomes) == [Commit.FAILED, Commit.COMMITTED]
        assert isinstance(outcomes[0].error, Conflict)
        assert await self.things(store) == [1, 2]
        assert await marked(store, 1, 2) == [2]

    async def test_of_many_racing_with_expect_one_wins(self, stores: Stores) -> None:
        first, second = await self.store(stores), await stores.open()
        await committed(first, Unit(statements=[self.insert(1, "v0")]))

        def move(version: int) -> Unit:
            sql = self.text("update things set name = ? where id = 1 and name = ?")
            return Unit(statements=[Statement(sql, (f"v{version + 1}", f"v{version}"), 1)])

        for version in range(10):
            racing = (store.commit([move(version)]) for store in (first, second, first))
            outcomes = [outcome for (outcome,) in await asyncio.gather(*racing)]
            assert sorted(fate.name for fate in fates(outcomes)) == ["COMMITTED", "FAILED", "FAILED"]
            assert all(isinstance(outcome.error, Conflict) for outcome in outcomes if outcome.error is not None)

    @pytest.mark.parametrize("args", [(1,), (1, "a", 3), (1, object()), (1 << 80, "a")])
    async def test_wrong_arguments_fail_their_unit_alone(self, stores: Stores, args: tuple[Any, ...]) -> None:
        store = await self.store(stores)
        wrong = Unit(statements=[Statement(self.text(INSERT), args)], marks=[mark(1)])
        outcomes = await store.commit([wrong, Unit(statements=[self.insert(7)], marks=[mark(2)])])
        assert fates(outcomes) == [Commit.FAILED, Commit.COMMITTED]
        assert isinstance(outcomes[0].error, CatgaError)
        assert (await self.things(store), await marked(store, 1, 2)) == ([7], [2])

    @pytest.mark.parametrize(
        "sql", ["", "-- nothing", "select", "insert into things values (1, 'a'); select 1", "nul\0"]
    )
    async def test_wrong_text_harms_nobody_else(self, stores: Stores, sql: str) -> None:
        store = await self.store(stores)
        outcomes = await store.commit([Unit(statements=[Statement(sql, ())]), Unit(statements=[self.insert(7)])])
        assert outcomes[1].commit is Commit.COMMITTED
        assert await self.things(store) == [7]

    async def test_forbidden_statements_fail_their_unit_alone(self, stores: Stores) -> None:
        store = await self.store(stores)
        await committed(store, Unit(marks=[mark(0)], publish=[message(0)]))
        for number, sql in enumerate(self.forbidden, 1):
            # Twice, so that a prepared statement that is kept meets the guard as well.
            for turn in (2 * number, 2 * number + 1):
                outcomes = await store.commit(
                    [
                        Unit(statements=[self.insert(1000 + turn)], marks=[mark(1000 + turn)]),
                        Unit(statements=[self.insert(2000 + turn), Statement(sql, ())], marks=[mark(2000 + turn)]),
                        Unit(statements=[self.insert(3000 + turn)], marks=[mark(3000 + turn)]),
                    ]
                )
                assert fates(outcomes) == [Commit.COMMITTED, Commit.FAILED, Commit.COMMITTED], sql
                assert isinstance(outcomes[1].error, ForbiddenStatement), (sql, outcomes[1].error)
                assert await marked(store, 1000 + turn, 2000 + turn, 3000 + turn) == [1000 + turn, 3000 + turn], sql
        turns = range(2, 2 * len(self.forbidden) + 2)
        assert await self.things(store) == [*(1000 + turn for turn in turns), *(3000 + turn for turn in turns)]
        assert await marked(store, 0) == [0]
        assert await store.pending() == 1

    # -- fetch --------------------------------------------------------------------------------------------------------

    async def test_fetch_reads_what_is_committed(self, stores: Stores) -> None:
        store, other = await self.store(stores), await stores.open()
        for n in range(5):
            await committed(store, Unit(statements=[self.insert(n)]))
            assert await self.things(other) == list(range(n + 1))
        rows = await store.fetch(self.text("select id, name from things where id = ?"), (3,))
        assert [tuple(row) for row in rows] == [(3, "a")]

    async def test_fetch_cannot_write_and_leaves_nothing_behind(self, stores: Stores) -> None:
        store = await self.store(stores)
        writes = [
            "insert into things values (1, 'a')",
            "create table mine (id integer)",
            "drop table things",
            "create temp table mine (id integer)",
            "vacuum",
        ]
        for _ in range(4):
            for sql in (*writes, *self.forbidden):
                with pytest.raises(ForbiddenStatement):
                    await store.fetch(sql, ())
        await committed(store, Unit(statements=[self.insert(1)]))
        # Each reader, also one that was asked to begin a transaction, sees what was committed since.
        for found in await asyncio.gather(*(self.things(store) for _ in range(8))):
            assert found == [1]

    async def test_a_wrong_question_is_a_typed_error(self, stores: Stores) -> None:
        store = await self.store(stores)
        for sql, args in (("select * from nowhere", ()), ("selec", ()), (self.text("select ?"), ())):
            with pytest.raises(StatementFailed):
                await store.fetch(sql, args)

    # -- exclusive ----------------------------------------------------------------------------------------------------

    async def test_exclusive_reads_its_own_writes_and_commits_with_its_unit(self, stores: Stores) -> None:
        store = await self.store(stores)

        async def work(connection: Connection) -> str:
            assert await connection.execute(self.text(INSERT), 1, "a") == 1
            await asyncio.sleep(0)
            rows = await connection.fetch("select id from things")
            return str([tuple(row) for row in rows])

        result, unit, outcome = await store.exclusive(work, lambda _: Unit(marks=[mark(1)], publish=[message(1)]))
        assert (result, outcome.commit) == ("[(1,)]", Commit.COMMITTED)
        assert unit.marks == [mark(1)]
        assert (await self.things(store), await marked(store, 1), await store.pending()) == ([1], [1], 1)

    async def test_exclusive_work_that_raises_leaves_nothing(self, stores: Stores) -> None:
        store, other = await self.store(stores), await stores.open()

        async def work(connection: Connection) -> None:
            await connection.execute(self.text(INSERT), 1, "a")
            raise LookupError

        for _ in range(3):
            with pytest.raises(LookupError):
                await store.exclusive(work, lambda _: Unit(marks=[mark(1)]))
            await committed(other, Unit())
        assert (await self.things(store), await marked(store, 1)) == ([], [])

    async def test_exclusive_work_of_a_duplicate_leaves_nothing(self, stores: Stores) -> None:
        store = await self.store(stores)
        await committed(store, Unit(marks=[mark(1)]))

        async def work(connection: Connection) -> None:
            await connection.execute(self.text(INSERT), 1, "a")

        _, _, outcome = await store.exclusive(work, lambda _: Unit(marks=[mark(1)]))
        assert outcome.commit is Commit.DUPLICATE
        assert await self.things(store) == []

    async def test_exclusive_work_may_not_end_its_transaction(self, stores: Stores) -> None:
        store = await self.store(stores)
        for number, sql in enumerate(self.forbidden):

            async def work(connection: Connection, number: int = number, sql: str = sql) -> None:
                await connection.execute(self.text(INSERT), number, "a")
                await connection.execute(sql)

            with pytest.raises(Exception):  # noqa: B017, PT011 - the driver's own
                await store.exclusive(work, lambda _: Unit())
        assert await self.things(store) == []

    async def test_others_wait_for_exclusive_work(self, stores: Stores) -> None:
        if not self.one_writer:
            pytest.skip("only where a store has one writer")
        store, other = await self.store(stores), await stores.open()
        order: list[str] = []

        async def work(connection: Connection) -> None:
            await connection.execute(self.text(INSERT), 1, "a")
            await rounds(50)
            order.append("work")

        async def commit(store: Store, number: int) -> None:
            await committed(store, Unit(statements=[self.insert(number)]))
            order.append("commit")

        exclusive = asyncio.ensure_future(store.exclusive(work, lambda _: Unit()))
        await rounds(10)
        await asyncio.gather(exclusive, commit(store, 2), commit(other, 3))
        assert order == ["work", "commit", "commit"]
        assert await self.things(store) == [1, 2, 3]

    async def test_exclusive_work_has_a_limit(self, stores: Stores, clock: SteeredClock) -> None:
        store, other = await self.store(stores), await stores.open()

        async def work(connection: Connection) -> None:
            await connection.execute(self.text(INSERT), 1, "a")
            await asyncio.get_running_loop().create_future()

        with pytest.raises(HoldLimitExceeded):
            await clock.run(store.exclusive(work, lambda _: Unit()), 60.0)
        await committed(other, Unit(statements=[self.insert(2)]))
        assert await self.things(store) == [2]

    async def test_cancelled_exclusive_work_is_all_or_nothing(self, stores: Stores, clock: SteeredClock) -> None:
        store, other = await self.store(stores), await stores.open()
        for step in STEPS:

            async def work(connection: Connection, step: int = step) -> None:
                await connection.execute(self.text(INSERT), step, "a")
                await rounds(20)

            def unit_of(_: None, step: int = step) -> Unit:
                return Unit(marks=[mark(step)])

            task = asyncio.ensure_future(store.exclusive(work, unit_of))
            await rounds(step)
            task.cancel()
            await asyncio.wait([task])
            await committed(store, Unit(statements=[self.insert(1000 + step)]))
            await committed(other, Unit(statements=[self.insert(2000 + step)]))
            if not task.cancelled():
                assert step in await self.things(store)
        # A commit that had begun goes on without its caller: only when the store is closed have all of them ended.
        await store.close()
        things = await self.things(other)
        for step in STEPS:
            assert (step in things) == bool(await marked(other, step))

    async def test_work_that_was_cancelled_gives_back_what_it_had(self, stores: Stores) -> None:
        store = await self.store(stores)
        begun = asyncio.Event()

        async def endless(connection: Connection) -> None:
            begun.set()
            await asyncio.Event().wait()

        async def short(connection: Connection) -> None:
            await connection.execute(self.text(INSERT), 1, "a")

        # More often than any pool has connections.
        for _ in range(12):
            begun.clear()
            task = asyncio.ensure_future(store.exclusive(endless, lambda _: Unit()))
            async with asyncio.timeout(10):
                await begun.wait()
            task.cancel()
            await asyncio.wait([task])
            asking = asyncio.ensure_future(store.fetch("select 1", ()))
            await rounds(2)
            asking.cancel()
            await asyncio.wait([asking])
        async with asyncio.timeout(10):
            await store.exclusive(short, lambda _: Unit())
            assert await self.things(store) == [1]

    async def test_cancelled_while_it_waits_for_others_exclusive_work_is_not_begun(self, stores: Stores) -> None:
        if not self.one_writer:
            pytest.skip("only where a store has one writer")
        store = await self.store(stores)
        let_go = asyncio.Event()
        begun: list[int] = []

        async def long(connection: Connection) -> None:
            await let_go.wait()

        async def short(connection: Connection) -> None:
            begun.append(1)

        first = asyncio.ensure_future(store.exclusive(long, lambda _: Unit()))
        await rounds(10)
        second = asyncio.ensure_future(store.exclusive(short, lambda _: Unit()))
        await rounds(10)
        second.cancel()
        await asyncio.wait([second])
        let_go.set()
        await first
        await committed(store, Unit(statements=[self.insert(1)]))
        assert begun == []

    async def test_what_work_does_to_the_connection_ends_with_it(self, stores: Stores, make_store: MakeStore) -> None:
        store = await self.store(stores)

        await store.exclusive(self.spoil, lambda _: Unit())
        share = await store.claim("orders", "a", 16, 10.0)
        await committed(store, Unit(statements=[self.insert(1)], marks=[mark(1)], leases=[share.leases[0]]))
        assert await marked(store, 1) == [1]


def _as_dict(cursor: Any, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}
