"""A database that is away for a while, in the way that is no lost line: the server answers, and says no. Every call says so
with an error of ours, and everything goes on by itself when it is back."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
import pytest
from tests.integration.servers import server

from catga import Catga, Command
from catga.backends.postgres import PostgresOptions, PostgresStore
from catga.clock import SystemClock
from catga.delivery.relay import Relay
from catga.errors import StoreError
from catga.ports import Outgoing, Unit
from catga.ports.transport import Capabilities, Sent
from catga.testing.conformance.base import CHANNEL, DAY, HANDLER, message, numbers
from catga.transaction import Statement

Away = Callable[[], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def database() -> AsyncIterator[tuple[str, Away]]:
    """The URL of a database of its own, and what takes it away for a while: it bears another name meanwhile."""
    name = f"away_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(server("postgres"))
    await admin.execute(f"create database {name}")

    async def rename(before: str, after: str) -> None:
        while True:
            await admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", before)
            with contextlib.suppress(asyncpg.ObjectInUseError):
                return await admin.execute(f"alter database {before} rename to {after}")

    @asynccontextmanager
    async def away() -> AsyncIterator[None]:
        await rename(name, f"{name}_gone")
        try:
            yield
        finally:
            await rename(f"{name}_gone", name)

    yield server("postgres").rpartition("/")[0] + f"/{name}", away
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


class Work(Command):
    number: int


class Sink:
    """A transport that keeps everything in memory."""

    capabilities = Capabilities(accepts_durably=True, ordered_parts=True, max_bytes=1 << 20)

    def __init__(self) -> None:
        self.kept: list[Outgoing] = []

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Sent]:
        self.kept.extend(batch)
        return [Sent.ACCEPTED] * len(batch)


async def test_every_call_says_so_and_works_again() -> None:
    async with database() as (url, away):
        await every_call(url, away)


async def every_call(url: str, away: Away) -> None:
    store = PostgresStore(PostgresOptions.parse(url), SystemClock())
    await store.open()
    await store.declare([CHANNEL, HANDLER])
    (lease,) = (await store.claim(CHANNEL, "me", 1, 30)).leases
    consumer = await store.queue().consume(CHANNEL, "me", store)
    await store.write([message(1)])

    async def nothing(connection: Any) -> None:
        await connection.execute("select 1")

    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "commit": lambda: store.commit([Unit(publish=[message(2)])]),
        "commit statements": lambda: store.commit([Unit(statements=[Statement("select 1", ())])]),
        "exclusive": lambda: store.exclusive(nothing, lambda _: Unit()),
        "fetch": lambda: store.fetch("select 1", ()),
        "declare": lambda: store.declare([uuid.uuid4().hex]),
        "rename": lambda: store.rename({"before": "after"}),
        "known": lambda: store.known({(DAY, HANDLER): [bytes(16)]}),
        "mark": lambda: store.mark(DAY, HANDLER, bytes(16)),
        "forget": lambda: store.forget(1),
        "claim": lambda: store.claim("another", "me", 1, 30),
        "release": lambda: store.release("another", "me", [], leave=True),
        "alone": lambda: store.alone(lease, 1),
        "clear": lambda: store.clear([lease]),
        "positions": lambda: store.positions(CHANNEL, [0]),
        "outbox": lambda: store.outbox([lease], 10),
        "sent": lambda: store.sent([lease], []),
        "due": lambda: store.due(CHANNEL, [0], 1, 10),
        "followers": lambda: store.followers(CHANNEL, 0, HANDLER, b"key", 10),
        "waiting": lambda: store.waiting(CHANNEL, [0]),
        "dead": lambda: store.dead(10),
        "next_due": store.next_due,
        "pending": store.pending,
        "receive": lambda: consumer.receive(10, 0.01),
    }
    async with away():
        wrong = {}
        for name, call in calls.items():
            try:
                # The first one learns that the line is lost, the next one that no other is to be had.
                for _ in range(2):
                    with contextlib.suppress(StoreError):
                        await call()
                await call()
            except StoreError:
                continue
            except Exception as error:
                wrong[name] = repr(error)
            else:
                wrong[name] = "it answered"
        assert wrong == {}
    for name, call in calls.items():
        try:
            await call()
        except Exception as error:
            raise AssertionError(f"{name} does not work again: {error!r}") from error
    await consumer.stop()
    await store.close()


async def test_the_relay_goes_on_when_it_is_back() -> None:
    async with database() as (url, away):
        await relaying(url, away)


async def relaying(url: str, away: Away) -> None:
    store = PostgresStore(PostgresOptions.parse(url), SystemClock())
    await store.open()
    await store.write([message(1)])
    sink = Sink()
    relay = Relay(store, sink, SystemClock(), "me")  # type: ignore[arg-type]
    await relay.start()

    async def published(number: int) -> None:
        async with asyncio.timeout(20):
            while number not in numbers(sink.kept):  # noqa: ASYNC110 - the relay tells nobody
                await asyncio.sleep(0.01)

    await published(1)
    async with away():
        await asyncio.sleep(1.5)
    await store.write([message(2)])
    await published(2)
    await relay.stop()
    await store.close()


@pytest.mark.parametrize("beside", [False, True])
async def test_an_app_stops_while_it_is_away(beside: bool, caplog: pytest.LogCaptureFixture) -> None:
    async with database() as (url, away):
        # A name of its own: the broker is shared, and keeps what other tests sent.
        name = f"away_{uuid.uuid4().hex}"
        app = Catga(name, store=url, transport=server("nats") if beside else url)
        done = asyncio.Event()

        @app.handler(Work, id="work")
        async def work(cmd: Work) -> None:
            done.set()

        await app.start()
        await app.enqueue(Work(1))
        async with asyncio.timeout(15):
            await done.wait()
        async with away():
            async with asyncio.timeout(15):
                await app.stop()
    said = " ".join(record.getMessage() for record in caplog.records)
    assert f"channel {name} could not give back its parts" in said
    assert ("the relay could not give back its parts" in said) == beside


async def test_giving_back_waits_for_a_claim_under_way() -> None:
    """The two take the same rows in another order."""
    async with database() as (url, _):
        store = PostgresStore(PostgresOptions.parse(url), SystemClock())
        await store.open()
        leases = (await store.claim(CHANNEL, "me", 2, 30)).leases
        other = await asyncpg.connect(url)
        await other.execute("select pg_advisory_lock(hashtextextended($1, 0))", CHANNEL)
        releasing = asyncio.ensure_future(store.release(CHANNEL, "me", leases, leave=True))
        done, _ = await asyncio.wait([releasing], timeout=0.3)
        assert not done
        await other.execute("select pg_advisory_unlock_all()")
        await releasing
        await other.close()
        await store.close()
