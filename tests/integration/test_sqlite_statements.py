"""What handlers' SQL may do to the commit that they share: SQLite's own ways to end it."""

import asyncio
import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.sqlite import insert, opened, things, with_table
from tests.integration.test_conformance_sqlite import Sqlite

from catga.backends.sqlite import SqliteStore
from catga.errors import ForbiddenStatement, OutcomeUnknown, StatementFailed, StoreFull
from catga.ports import Commit, Unit
from catga.testing.conformance import SqlStoreConformance
from catga.testing.conformance.base import CHANNEL, DAY, committed, fates, mark, marked, message
from catga.testing.conformance.sql import ENDING, OWN
from catga.transaction import Connection, Statement

SQLITE_ONLY = (
    "pragma synchronous = off",
    "pragma query_only = 1",
    "-- a remark\npragma foreign_keys = off",
    "PRAGMA user_version",
    "pragma table_info(things)",
    "attach ':memory:' as other",
    "attach '/nowhere/at/all.db' as other",
    "detach main",
    "insert or replace into catga_schema values (9)",
    "replace into catga_turns values (0)",
    "create temp table catga_queue (number integer)",
    "create temp view catga_marks as select 1",
    "create view catga_more as select 1",
    "create temp trigger mine after delete on catga_parked begin select 1; end",
    "drop index catga_parked_due",
    "delete from main.catga_marks",
)


class TestForbidden(Sqlite, SqlStoreConformance):
    """The suite, with what only SQLite has."""

    forbidden = (*ENDING, *OWN, *SQLITE_ONLY)


def s(sql: str, *args: object) -> Statement:
    return Statement(sql, args)


BREAKING = [
    pytest.param([], [s("insert or rollback into things values (0, 'b', null)")], id="or rollback"),
    pytest.param(
        [s("create trigger guard before insert on things when new.id = 99 begin select raise(rollback, 'no'); end")],
        [s("insert into things values (99, 'b', null)")],
        id="raise rollback",
    ),
    pytest.param(
        [
            s("create table parents (id integer primary key)"),
            s("create table children (id integer references parents deferrable initially deferred)"),
        ],
        [s("insert into children values (1)")],
        id="deferred foreign key",
    ),
    pytest.param([], [s("insert or fail into things values (70, 'b', null), (0, 'b', null)")], id="or fail"),
    pytest.param(
        [s("create trigger guard before insert on things when new.id = 99 begin select raise(fail, 'no'); end")],
        [s("insert into things values (98, 'b', null), (99, 'b', null)")],
        id="raise fail",
    ),
    pytest.param(
        [],
        [s("create trigger guard after insert on things begin delete from catga_marks; end"), insert(9)],
        id="trigger on our tables",
    ),
    pytest.param([], [s("select abs(-9223372036854775808)")], id="error while reading"),
    pytest.param([], [s("insert into things values (?, ?, ?)", 99, "b", "\ud800")], id="text that has no bytes"),
    pytest.param([], [s("select load_extension('none')")], id="extension"),
    pytest.param([], [s("vacuum")], id="vacuum"),
]


@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize(("before", "breaking"), BREAKING)
def test_what_ends_the_commit_fails_its_unit_alone(
    tmp_path: Path, before: list[Statement], breaking: list[Statement], place: int
) -> None:
    async def main() -> None:
        async with opened(tmp_path / "app.db", synchronous="NORMAL") as store:
            await with_table(store)
            await committed(store, Unit(statements=[*before, insert(0)]))
            for turn in (10, 20):
                units = [
                    Unit(statements=[insert(turn + n)], marks=[mark(turn + n)], publish=[message(turn + n)])
                    for n in range(5)
                ]
                units[place].statements = [insert(1000), *breaking, insert(1001)]
                outcomes = await store.commit(units)
                expected = [Commit.FAILED if n == place else Commit.COMMITTED for n in range(5)]
                assert fates(outcomes) == expected, outcomes
                assert isinstance(outcomes[place].error, (StatementFailed, ForbiddenStatement))
            others = [turn + n for turn in (10, 20) for n in range(5) if n != place]
            assert await things(store) == [0, *others]
            assert await marked(store, *range(30)) == others
            assert await store.pending() == 8

    asyncio.run(main())


def test_several_that_end_it_in_one_group(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "app.db") as store:
            await with_table(store)
            await committed(store, Unit(statements=[insert(0)]))
            rollback = s("insert or rollback into things values (0, 'b', null)")
            units = [
                Unit(statements=[insert(1)]),
                Unit(statements=[rollback]),
                Unit(statements=[insert(2, None)]),
                Unit(statements=[rollback]),
                Unit(statements=[insert(1)]),
                Unit(statements=[insert(3)]),
            ]
            c, f = Commit.COMMITTED, Commit.FAILED
            assert fates(await store.commit(units)) == [c, f, f, f, f, c]
            assert await things(store) == [0, 1, 3]

    asyncio.run(main())


def test_our_own_words_from_a_user_meet_the_guard(tmp_path: Path) -> None:
    """Every statement that we run ourselves is kept prepared, and was prepared without the guard."""
    said: set[str] = set()

    async def main() -> None:
        async with opened(tmp_path / "app.db") as store:
            await with_table(store)
            store.database.writer.set_trace_callback(said.add)
            consumer = await store.queue().consume(CHANNEL, "a", store)
            (lease,) = [consumer.lease_of(0)]
            await committed(store, Unit(publish=[message(1)], marks=[mark(1)]))
            (delivery,) = await consumer.receive(10, 0.0)
            await committed(store, Unit(settle=[delivery.token], marks=[mark(1, replace=True)], leases=[lease]))
            await store.forget(0)
            await consumer.stop()
            store.database.writer.set_trace_callback(None)
            ours = [
                s("delete from catga_marks where day < ?", DAY + 1),
                s("delete from catga_queue where number in (?)", 1),
            ]
            ours += [s(sql) for sql in sorted(said) if not sql.startswith(("select", "pragma"))]
            assert len(ours) > 10
            await committed(store, Unit(marks=[mark(2)], publish=[message(2)]))
            for statement in ours:
                (outcome, _) = await store.commit([Unit(statements=[statement]), Unit()])
                assert outcome.commit is Commit.FAILED, statement.sql
            assert await marked(store, 1, 2) == [1, 2]
            assert await store.pending() == 1

    asyncio.run(main())


def test_names_that_look_like_ours_are_the_users(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "app.db") as store:
            statements = [
                s("create table mine (id integer, catga_id text)"),
                s("create index my_catga_index on mine (catga_id)"),
                s("insert into mine values (1, 'a')"),
                s("update mine set catga_id = 'b'"),
                s("insert into mine select 2, count(*) from catga_queue"),
                s("alter table mine rename column catga_id to catga_number"),
                s("drop index my_catga_index"),
            ]
            await committed(store, Unit(statements=statements))
            rows = await store.fetch("select id, catga_number from mine order by id", ())
            assert rows == [(1, "b"), (2, "0")]

    asyncio.run(main())


def test_full_text_tables(tmp_path: Path) -> None:
    connection = sqlite3.connect(":memory:")
    options = {name for (name,) in connection.execute("pragma compile_options")}
    connection.close()
    if "ENABLE_FTS5" not in options:
        pytest.skip("this SQLite has no full-text search")

    async def main() -> None:
        async with opened(tmp_path / "app.db") as store:
            await committed(store, Unit(statements=[s("create virtual table notes using fts5(body)")]))
            await committed(
                store, *(Unit(statements=[s("insert into notes values (?)", f"note {n}")]) for n in range(5))
            )
            outcomes = await store.commit(
                [
                    Unit(statements=[s("insert into notes values ('gone')"), insert(1)]),
                    Unit(statements=[s("insert into notes values ('kept')")]),
                ]
            )
            assert fates(outcomes) == [Commit.FAILED, Commit.COMMITTED]
            assert await store.fetch("select count(*) from notes where notes match 'note'", ()) == [(5,)]
            assert await store.fetch("select body from notes where notes match 'gone OR kept'", ()) == [("kept",)]

    asyncio.run(main())


def test_rows_that_are_returned_count(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "app.db") as store:
            await with_table(store)
            one = Statement("insert into things values (1, 'a', null) returning id", (), 1)
            two = Statement("insert into things values (2, 'a', null), (3, 'a', null) returning id", (), 2)
            await committed(store, Unit(statements=[one]), Unit(statements=[two]))
            none = Statement("update things set name = 'b' where id = 9 returning id", (), 1)
            assert fates(await store.commit([Unit(statements=[none]), Unit()])) == [Commit.FAILED, Commit.COMMITTED]
            assert await things(store) == [1, 2, 3]

    asyncio.run(main())


class Odd:
    def __conform__(self, protocol: object) -> str:
        raise LookupError("an adapter of the user's own")


def test_an_adapter_that_fails_fails_its_unit_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "app.db") as store:
            await with_table(store)
            outcomes = await store.commit(
                [Unit(statements=[s("insert into things values (?, ?, null)", 1, Odd())]), Unit(statements=[insert(2)])]
            )
            assert fates(outcomes) == [Commit.FAILED, Commit.COMMITTED]

    asyncio.run(main())


# -- a commit that is made in part ------------------------------------------------------------------------------------


def test_a_store_that_fails_after_some_units_were_committed_singly_says_that_it_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with opened(tmp_path / "app.db") as store:
            await with_table(store)
            await committed(store, Unit(statements=[insert(0)]))
            units = [Unit(publish=[message(n)]) for n in range(4)]
            units[2].statements = [s("insert or rollback into things values (0, 'b', null)")]
            for failing, error in ((1, StoreFull), (2, OutcomeUnknown), (4, OutcomeUnknown)):
                turns = itertools.count(0)

                async def begin_or_fail(
                    turns: Iterator[int] = turns, failing: int = failing, begin: Any = store.database.begin
                ) -> None:
                    if next(turns) == failing:
                        raise StoreFull("no room")
                    await begin()

                before = await store.pending()
                with monkeypatch.context() as patch:
                    patch.setattr(store.database, "begin", begin_or_fail)
                    with pytest.raises(error):
                        await store.commit(units)
                # "Nothing was written" is said only where it is so.
                assert (await store.pending() > before) == (error is OutcomeUnknown)

    asyncio.run(main())


def test_new_names_beside_a_unit_that_ends_the_commit(tmp_path: Path) -> None:
    """Learning a name in the middle must not commit anybody twice."""

    async def main() -> None:
        async with opened(tmp_path / "app.db") as store:
            await with_table(store)
            await committed(store, Unit(statements=[insert(0)]))
            units = [
                Unit(publish=[message(1)]),
                Unit(statements=[s("insert or rollback into things values (0, 'b', null)")]),
                Unit(publish=[message(2)], marks=[mark(2, "a new handler")]),
            ]
            store.queue()
            units[2].publish = [message(2, channel="a new channel")]
            assert fates(await store.commit(units)) == [Commit.COMMITTED, Commit.FAILED, Commit.COMMITTED]
            assert await store.pending() == 2

    asyncio.run(main())


# -- Connection -------------------------------------------------------------------------------------------------------


async def held(store: SqliteStore, *statements: str) -> Commit:
    async def work(connection: Connection) -> None:
        for sql in statements:
            await connection.execute(sql)

    _, _, outcome = await store.exclusive(work, lambda _: Unit(marks=[mark(1)]))
    return outcome.commit


def test_a_constraint_deferred_to_the_commit_of_exclusive_work(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "app.db") as store, opened(tmp_path / "app.db") as other:
            await with_table(store)
            child = "create table children (id integer references things deferrable initially deferred)"
            assert await held(store, child, "insert into children values (7)") is Commit.FAILED
            # The lock is free, and nothing of it is there.
            async with asyncio.timeout(5):
                await committed(other, Unit(statements=[s("create table children (id integer)")]))
                await committed(store, Unit(marks=[mark(1)]))

    asyncio.run(main())


def test_exclusive_work_that_ends_its_transaction_by_a_constraint_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "app.db") as store, opened(tmp_path / "app.db") as other:
            await with_table(store)
            await committed(store, Unit(statements=[insert(0)]))

            async def work(connection: Connection) -> None:
                await connection.execute("insert into things values (1, 'a', null)")
                with pytest.raises(sqlite3.IntegrityError):
                    await connection.execute("insert or rollback into things values (0, 'b', null)")

            with pytest.raises(ForbiddenStatement):
                await store.exclusive(work, lambda _: Unit(marks=[mark(1)]))
            assert (await things(store), await marked(store, 1)) == ([0], [])
            await committed(other, Unit(statements=[insert(2)]))
            await committed(store, Unit(statements=[insert(3)]))

    asyncio.run(main())


def test_the_drivers_own_ways_to_end_a_transaction(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "app.db") as store:
            await with_table(store)

            def script(raw: sqlite3.Connection) -> None:
                raw.executescript("insert into things values (10, 'a', null);")

            def block(raw: sqlite3.Connection) -> None:
                with raw:
                    raw.execute("insert into things values (11, 'a', null)")

            ways = [sqlite3.Connection.commit, sqlite3.Connection.rollback, script, block]
            for number, way in enumerate(ways):

                async def work(connection: Connection, number: int = number, way: object = way) -> None:
                    await connection.execute("insert into things values (?, 'a', null)", number)
                    way(connection.raw)

                with pytest.raises((sqlite3.DatabaseError, ForbiddenStatement)):
                    await store.exclusive(work, lambda _: Unit(marks=[mark(1)]))
                assert (await things(store), await marked(store, 1)) == ([], []), way
            assert await held(store, "insert into things values (1, 'a', null)") is Commit.COMMITTED

    asyncio.run(main())


def test_a_timeout_of_the_handlers_own_is_not_the_limit(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "app.db") as store:

            async def work(connection: Connection) -> None:
                raise TimeoutError("the handler's own")

            with pytest.raises(TimeoutError, match="own"):
                await store.exclusive(work, lambda _: Unit())

    asyncio.run(main())


def test_a_handler_that_cancels_itself_leaves_no_lock(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "app.db") as store, opened(tmp_path / "app.db") as other:

            async def work(connection: Connection) -> None:
                raise asyncio.CancelledError

            with pytest.raises(asyncio.CancelledError):
                await store.exclusive(work, lambda _: Unit())
            async with asyncio.timeout(5):
                await committed(other, Unit())

    asyncio.run(main())


def test_a_question_cannot_copy_the_file(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "app.db") as store:
            with pytest.raises((ForbiddenStatement, StatementFailed)):
                await store.fetch("vacuum into ?", (str(tmp_path / "copy.db"),))
            assert not (tmp_path / "copy.db").exists()

    asyncio.run(main())
