"""A server that crashed gives out numbers of transactions again whose ends were not on its disk: who had seen those end must
still read what is written under the same numbers now."""

from collections.abc import Iterator

import asyncpg
import pytest

from catga.backends.postgres import PostgresOptions, PostgresStore
from catga.backends.postgres.queue import PostgresTransport
from catga.clock import SystemClock
from catga.errors import CatgaError
from catga.ports import Lease, Settle
from catga.testing.conformance.base import CHANNEL, message, numbers
from catga.testing.servers import Postgres

BURNT = 40


@pytest.fixture
def own() -> Iterator[Postgres]:
    # Nothing is written to the disk but what a commit waits for.
    with Postgres(settings={"wal_writer_delay": "10s", "autovacuum": "off"}) as postgres:
        yield postgres


def store(own: Postgres) -> PostgresStore:
    return PostgresStore(PostgresOptions.parse(f"{own.url}?lease=30"), SystemClock())


async def burn(own: Postgres) -> int:
    """Transactions that end, and leave nothing; the last one's number."""
    connection = await asyncpg.connect(own.url)
    for _ in range(BURNT):
        await connection.execute("begin; select pg_current_xact_id(); rollback")
    last = int(await connection.fetchval("select pg_snapshot_xmax(pg_current_snapshot())::text"))
    await connection.close()
    return last


async def next_number(own: Postgres) -> int:
    connection = await asyncpg.connect(own.url)
    found = int(await connection.fetchval("select pg_snapshot_xmax(pg_current_snapshot())::text"))
    await connection.close()
    return found


def crash(own: Postgres) -> None:
    own.kill()
    own.start()


async def stubborn(call: object) -> object:
    """Until it answers: the first question after a crash learns of it."""
    for _ in range(20):
        try:
            return await call()  # type: ignore[operator]
        except (CatgaError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            continue
    raise AssertionError("it does not answer")


async def test_the_queue_is_read_after_a_crash(own: Postgres) -> None:
    here = store(own)
    await here.open()
    transport = here.queue()
    assert isinstance(transport, PostgresTransport)
    await transport.open()
    await transport.publish([message(1)])
    consumer = await transport.consume(CHANNEL, "me", here)
    (first,) = await consumer.receive(10, 5)
    assert numbers([first]) == [1]
    # It stays out, so that no position is kept meanwhile: that would wait for the disk.
    seen = await burn(own)
    assert await consumer.receive(10, 0.05) == []
    crash(own)
    assert await next_number(own) < seen, "the server knew the numbers: this test shows nothing"
    await stubborn(lambda: transport.publish([message(2)]))
    found = await stubborn(lambda: consumer.receive(10, 5))
    assert numbers(found) == [1, 2]  # type: ignore[arg-type]
    await consumer.stop()
    await transport.close()
    await here.close()


async def test_a_position_is_kept_only_when_it_is_sure(own: Postgres) -> None:
    here = store(own)
    await here.open()
    transport = here.queue()
    await transport.open()
    await transport.publish([message(1)])
    consumer = await transport.consume(CHANNEL, "me", here)
    (first,) = await consumer.receive(10, 5)
    await consumer.settle([(first.token, Settle.DONE)])
    seen = await burn(own)
    assert await consumer.receive(10, 0.3) == []
    kept = await here.positions(CHANNEL, [0])
    assert kept, "nothing was kept: this test shows nothing"
    crash(own)
    assert await next_number(own) >= seen
    await stubborn(lambda: consumer.receive(10, 0.05))
    await consumer.stop()
    await transport.close()
    await here.close()


async def test_what_was_seen_before_a_crash_is_no_position_after_it(own: Postgres) -> None:
    here, other = store(own), store(own)
    for each in (here, other):
        await each.open()
    transport = here.queue()
    await transport.open()
    await transport.publish([message(1)])
    consumer = await transport.consume(CHANNEL, "me", here)
    (first,) = await consumer.receive(10, 5)
    seen = await burn(own)
    assert await consumer.receive(10, 0.05) == []
    crash(own)
    assert await next_number(own) < seen, "the server knew the numbers: this test shows nothing"
    await stubborn(lambda: consumer.settle([(first.token, Settle.DONE)]))
    await stubborn(consumer.stop)
    await stubborn(lambda: transport.publish([message(2)]))
    successor = await stubborn(lambda: other.queue().consume(CHANNEL, "you", other))
    found = await stubborn(lambda: successor.receive(10, 5))  # type: ignore[attr-defined]
    assert numbers(found) == [1, 2]  # type: ignore[arg-type]
    await successor.stop()  # type: ignore[attr-defined]
    await transport.close()
    for each in (here, other):
        await each.close()


async def test_the_outbox_is_read_after_a_crash(own: Postgres) -> None:
    here = store(own)
    await here.open()
    await here.write([message(1)])
    share = await here.claim("relay", "me", 1, 30)
    leases: list[Lease] = list(share.leases)
    first = await here.outbox(leases, 10)
    assert numbers(first) == [1]
    await here.sent(leases, first)
    seen = await burn(own)
    assert await here.outbox(leases, 10) == []
    crash(own)
    assert await next_number(own) < seen, "the server knew the numbers: this test shows nothing"
    await stubborn(lambda: here.write([message(2)]))
    found = await stubborn(lambda: here.outbox(leases, 10))
    assert numbers(found) in ([2], [1, 2])  # type: ignore[arg-type]
    await here.close()
