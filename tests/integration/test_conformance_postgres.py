"""The PostgreSQL store and queue against the public suites, on a real server."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from tests.integration.servers import server

from catga.backends.postgres import PostgresOptions, PostgresStore
from catga.testing import PatientClock, SteeredClock
from catga.testing.conformance import (
    InboxConformance,
    LeasesConformance,
    OutboxConformance,
    ParkedConformance,
    QueueConformance,
    SqlStoreConformance,
    StoreConformance,
    TransportConformance,
)
from catga.testing.conformance.base import HoldCommit
from catga.transaction import Connection


@pytest.fixture
def schema() -> Iterator[str]:
    """A URL with a schema of its own, gone after the test."""
    url, name = server("postgres"), f"test_{uuid.uuid4().hex}"
    # The driver gives the server what it does not know itself: handlers' tables are in a schema of their own.
    yield f"{url}?schema={name}&search_path={name}_things"

    async def drop() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(f"drop schema if exists {name} cascade")
        await connection.execute(f"drop schema if exists {name}_things cascade")
        await connection.close()

    asyncio.run(drop())


def name_of(url: str) -> str:
    """The schema that a URL names."""
    return parse_qs(urlsplit(url).query)["schema"][0]


class Postgres:
    """A real server under virtual time: leases run by the clock of the test."""

    log = True
    ranked = False

    @pytest.fixture
    def make_store(self, clock: SteeredClock, schema: str) -> Callable[[], PostgresStore]:
        return lambda: PostgresStore(PostgresOptions.parse(schema), clock, server_time=False)

    @pytest.fixture
    def hold_commit(self, schema: str) -> HoldCommit:
        return lambda store: held(schema, store)


class Holding:
    """A commit that waits, in its very end, for a lock that we have."""

    def __init__(self, lock: asyncpg.Connection) -> None:
        self._lock = lock
        self._released: asyncio.Task[None] | None = None

    async def reached(self) -> None:
        for _ in range(1000):
            waits = await self._lock.fetchval(
                "select exists(select 1 from pg_locks where locktype = 'advisory' and not granted and objid = 4711)"
            )
            if waits:
                return
            await asyncio.sleep(0.01)
        raise TimeoutError("no commit stands open")

    def release(self) -> None:
        self._released = asyncio.ensure_future(self._unlock())

    async def ended(self) -> None:
        if self._released is None:
            self.release()
        assert self._released is not None
        await self._released

    async def _unlock(self) -> None:
        await self._lock.execute("select pg_advisory_unlock_all()")


@asynccontextmanager
async def held(schema: str, store: Any) -> AsyncIterator[Holding]:
    url, name = server("postgres"), name_of(schema)
    async with store.database.writer.use() as writer:
        pid = await writer.fetchval("select pg_backend_pid()")
    lock = await asyncpg.connect(url)
    await lock.execute(f"""
        create function {name}.hold() returns trigger language plpgsql as $$ begin
            if pg_backend_pid() = {pid} then perform pg_advisory_xact_lock(4711); end if;
            return null;
        end $$;
        create constraint trigger hold after insert on {name}.messages deferrable initially deferred for each row execute function {name}.hold();
        select pg_advisory_lock(4711);
    """)
    holding = Holding(lock)
    try:
        yield holding
    finally:
        await holding.ended()
        await asyncio.sleep(0.05)
        await lock.execute(f"drop trigger hold on {name}.messages; drop function {name}.hold()")
        await lock.close()


class TestStore(Postgres, StoreConformance):
    pass


class TestInbox(Postgres, InboxConformance):
    pass


class TestOutbox(Postgres, OutboxConformance):
    pass


class TestLeases(Postgres, LeasesConformance):
    pass


class TestLeasesOfTheServer(Postgres, LeasesConformance):
    """Time really passes: they run by the server's clock. A few are enough."""

    lease_ttl = 1.5
    test_an_epoch_is_never_given_twice = None
    test_crashes_in_a_row_are_counted = None
    test_clearing_ends_the_row = None
    test_giving_back_ends_the_row = None

    @pytest.fixture
    def clock(self) -> PatientClock:
        return PatientClock()

    @pytest.fixture
    def make_store(self, clock: SteeredClock, schema: str) -> Callable[[], PostgresStore]:
        return lambda: PostgresStore(PostgresOptions.parse(schema), clock)


class TestParked(Postgres, ParkedConformance):
    pass


class TestTransport(Postgres, TransportConformance):
    pass


class TestQueue(Postgres, QueueConformance):
    pass


ENDING = (
    "commit",
    "COMMIT WORK",
    "end",
    "abort",
    "rollback",
    "begin",
    "start transaction",
    "savepoint mine",
    "release mine",
    "rollback to mine",
    "-- a remark\ncommit",
    "/* a remark */ rollback",
    "/* one */ /* two */\n\t savepoint catga",
    "prepare transaction 'mine'",
    "commit prepared 'mine'",
    "set transaction read only",
    "set search_path to nowhere",
    "do $$ begin commit; end $$",
)
OWN = (
    "delete from {s}.messages",
    "delete from {s}.messages_rest",
    "delete from {s}.marks",
    'UPDATE "{s}"."leases" set epoch = 0',
    "insert into {s}.names (name) values ('mine')",
    "truncate {s}.parked",
    "drop table {s}.parked",
    "alter table {s}.messages add column mine integer",
    "create index mine on {s}.messages (frame)",
    "-- a remark\ndelete from {s}.outbox",
    "with gone as (delete from {s}.marks returning 1) select count(*) from gone",
    "do $$ begin delete from {s}.marks; end $$",
)


class TestSql(Postgres, SqlStoreConformance):
    """Handlers' tables are in a schema of their own."""

    one_writer = False

    @pytest.fixture(autouse=True)
    def tables(self, schema: str) -> None:
        name = name_of(schema)
        self.forbidden = [*ENDING, *(sql.format(s=name) for sql in OWN)]

        async def make() -> None:
            connection = await asyncpg.connect(server("postgres"))
            await connection.execute(f"create schema {name}_things")
            await connection.close()

        asyncio.run(make())

    def text(self, sql: str) -> str:
        for number in range(1, sql.count("?") + 1):
            sql = sql.replace("?", f"${number}", 1)
        return sql

    async def spoil(self, connection: Connection) -> None:
        await connection.raw.execute("set search_path to nowhere")
