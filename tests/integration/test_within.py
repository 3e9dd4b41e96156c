"""Messages that join a transaction of the caller's own: they leave if, and only if, it commits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from tests.integration.servers import server
from tests.integration.test_conformance_postgres import schema

from catga import Catga, Command, Event
from catga.errors import InvalidArgument, NoStore

__all__ = ["schema"]


class Place(Command, key="customer"):
    customer: str
    number: int


class Placed(Event):
    number: int


Begin = Callable[[], Any]
"""Opens a transaction, as an async context that commits, or rolls back where it is left by an error."""


@asynccontextmanager
async def by_asyncpg() -> AsyncIterator[tuple[Any, Begin]]:
    connection = await asyncpg.connect(server("postgres"))
    yield connection, connection.transaction
    await connection.close()


@asynccontextmanager
async def by_an_asyncpg_pool() -> AsyncIterator[tuple[Any, Begin]]:
    async with asyncpg.create_pool(server("postgres"), min_size=1) as pool, pool.acquire() as connection:
        yield connection, connection.transaction


@asynccontextmanager
async def by_psycopg() -> AsyncIterator[tuple[Any, Begin]]:
    connection = await psycopg.AsyncConnection.connect(server("postgres"), autocommit=True)
    yield connection, connection.transaction
    await connection.close()


def by_sqlalchemy(driver: str) -> Callable[[], Any]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[Any, Begin]]:
        engine = create_async_engine(server("postgres").replace("postgresql", f"postgresql+{driver}"))
        async with AsyncSession(engine) as session:
            yield session, session.begin
        await engine.dispose()

    return opened


DRIVERS = {
    "asyncpg": by_asyncpg,
    "asyncpg pool": by_an_asyncpg_pool,
    "psycopg": by_psycopg,
    "sqlalchemy over asyncpg": by_sqlalchemy("asyncpg"),
    "sqlalchemy over psycopg": by_sqlalchemy("psycopg"),
}


@pytest.mark.parametrize("driver", DRIVERS)
def test_they_leave_with_its_commit_and_never_without(driver: str, schema: str) -> None:
    done: list[tuple[str, int]] = []
    app = Catga("orders", store=schema, transport=schema)

    @app.handler(Place)
    async def place(cmd: Place) -> None:
        done.append((cmd.customer, cmd.number))

    @app.handler(Placed)
    async def placed(event: Placed) -> None:
        done.append(("event", event.number))

    async def story() -> None:
        async with app, DRIVERS[driver]() as (session, begin):
            async with begin():
                receipt = await app.enqueue(Place("ann", 1), within=session)
                assert not receipt.durable
                await app.enqueue_many([Place("ann", 2), Place("bob", 3)], within=session)
                await app.publish(Placed(4), within=session)
                await asyncio.sleep(0.2)
                assert done == []
            await app.settled()
            assert sorted(done) == [("ann", 1), ("ann", 2), ("bob", 3), ("event", 4)]
            with contextlib.suppress(LookupError):
                async with begin():
                    await app.enqueue(Place("ann", 5), within=session)
                    raise LookupError
            # A later one of the same key would be behind it.
            await app.enqueue(Place("ann", 6))
            await app.settled()
            assert done[4:] == [("ann", 6)]

    asyncio.run(story())


def test_an_id_that_came_before_changes_nothing(schema: str) -> None:
    done: list[int] = []
    app = Catga("orders", store=schema, transport=schema)

    @app.handler(Place)
    async def place(cmd: Place) -> None:
        done.append(cmd.number)

    async def story() -> None:
        async with app, by_asyncpg() as (session, begin):
            for number in (1, 2):
                async with begin():
                    await app.enqueue(Place("ann", number), id="0" * 31 + "7", within=session)
                await app.settled()

    asyncio.run(story())
    assert done == [1]


def refused(app: Catga, call: Callable[[Any], Awaitable[Any]]) -> Exception:
    async def story() -> Exception:
        async with app:
            with pytest.raises((InvalidArgument, NoStore)) as caught:
                await call(app)
            return caught.value

    return asyncio.run(story())


async def test_what_is_no_open_transaction_is_refused(schema: str) -> None:
    app = Catga("orders", messages=(Place,), store=schema, transport=schema)
    async with app:
        async with by_asyncpg() as (connection, _):
            with pytest.raises(InvalidArgument, match="no transaction open"):
                await app.enqueue(Place("ann", 1), within=connection)
        async with by_psycopg() as (connection, _):
            with pytest.raises(InvalidArgument, match="no transaction open"):
                await app.enqueue(Place("ann", 1), within=connection)
        with (
            psycopg.connect(server("postgres")) as blocking,
            pytest.raises(InvalidArgument, match="which blocks"),
        ):
            await app.enqueue(Place("ann", 1), within=blocking)
        engine = sa.create_engine(server("postgres").replace("postgresql", "postgresql+psycopg"))
        with sa.orm.Session(engine) as session, pytest.raises(InvalidArgument, match="which blocks"):
            await app.enqueue(Place("ann", 1), within=session)
        engine.dispose()
        with pytest.raises(InvalidArgument, match="driver is not known"):
            await app.enqueue(Place("ann", 1), within=object())


def test_stores_without_it_say_so() -> None:
    where = Catga("memory", messages=(Place,), store="memory://")
    assert "only PostgreSQL" in str(refused(where, lambda app: app.enqueue(Place("ann", 1), within=object())))


@pytest.mark.parametrize(
    "call",
    [
        lambda app: app.enqueue(Place("ann", 1), within=object()),
        lambda app: app.enqueue_many([Place("ann", 1)], within=object()),
        lambda app: app.publish(Placed(1), within=object()),
    ],
)
def test_without_a_store_there_is_nothing_to_join(call: Callable[[Any], Awaitable[Any]]) -> None:
    assert isinstance(refused(Catga("none", messages=(Place, Placed)), call), NoStore)
