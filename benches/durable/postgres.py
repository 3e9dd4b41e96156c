"""PostgreSQL as queue and store, with fsync and synchronous_commit on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import asyncpg
import msgspec

from benches.durable.work import BATCH, Meter, Order, consumed, decode, names, orders, outgoing, packed
from benches.runner import Group, Row
from catga import Catga
from catga.backends import open_backend
from catga.clock import SystemClock
from catga.delivery.relay import Relay
from catga.ports import Outgoing
from catga.ports.store import Unit
from catga.ports.transport import Capabilities, Sent
from catga.testing.servers import Postgres

COUNT = 20_000
CONNECTIONS = 16
TRANSACTIONS = 4_000
ORDERS = "create table orders (id text, customer text, sku text, amount int, note text)"
ORDER = "insert into orders values ($1, $2, $3, $4, $5)"
INBOX = "create table raw_inbox (day int, handler int, id bytea, primary key (day, handler, id))"
OUTBOX = "create table raw_outbox (number bigserial primary key, part int, frame bytea)"


@asynccontextmanager
async def consuming() -> AsyncIterator[Sequence[Row]]:
    """A queue of our own beside the insert that any inbox needs."""
    with Postgres() as server:
        connection = await asyncpg.connect(server.url)
        await connection.execute(INBOX)
        payloads = packed(orders(COUNT))

        async def raw() -> float:
            await connection.execute("truncate raw_inbox")
            meter = Meter(COUNT)
            meter.tick(0)
            for start in range(0, COUNT, BATCH):
                for payload in payloads[start : start + BATCH]:
                    decode(payload)
                ids = [number.to_bytes(16, "big") for number in range(start, start + BATCH)]
                await connection.execute(
                    "insert into raw_inbox select 1, 1, id from unnest($1::bytea[]) as id on conflict do nothing", ids
                )
                meter.tick(BATCH)
            return meter.per_message()

        async def ours() -> float:
            name = next(names)
            sender = Catga(name, messages=(Order,), store=server.url, transport=server.url)
            await sender.start(work=False)
            waiting = orders(COUNT)
            for start in range(0, COUNT, 2_000):
                await sender.enqueue_many(waiting[start : start + 2_000])
            await sender.stop()
            return await consumed(Catga(name, store=server.url, transport=server.url), COUNT)

        yield [
            Row("a batched dedupe insert, raw", raw),
            Row("catga, durable consume", ours),
        ]
        await connection.close()


@asynccontextmanager
async def enqueueing() -> AsyncIterator[Sequence[Row]]:
    """An order's row and its message in one transaction of the caller's, on 16 connections at once."""
    with Postgres() as server:
        pool = await asyncpg.create_pool(server.url, min_size=CONNECTIONS, max_size=CONNECTIONS)
        await pool.execute(ORDERS)
        await pool.execute(OUTBOX)
        app = Catga("shop", messages=(Order,), store=server.url, transport=server.url)
        await app.start(work=False)
        encode = msgspec.msgpack.Encoder().encode

        async def in_transactions(write: Callable[[asyncpg.Connection, Order], Awaitable[object]]) -> float:
            await pool.execute("truncate orders")
            waiting = iter(orders(TRANSACTIONS))
            meter = Meter(TRANSACTIONS)
            meter.tick(0)

            async def one() -> None:
                async with pool.acquire() as connection:
                    for order in waiting:
                        async with connection.transaction():
                            await connection.execute(
                                ORDER, order.order, order.customer, order.sku, order.amount, order.note
                            )
                            await write(connection, order)

            await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
            return meter.per_message()

        async def raw(connection: asyncpg.Connection, order: Order) -> None:
            await connection.execute("insert into raw_outbox (part, frame) values ($1, $2)", 1, encode(order))

        async def ours(connection: asyncpg.Connection, order: Order) -> None:
            await app.enqueue(order, within=connection)

        yield [
            Row("two inserts, raw", lambda: in_transactions(raw)),
            Row("catga, enqueue within", lambda: in_transactions(ours)),
        ]
        await app.stop()
        await pool.close()


class Sink:
    """A transport that keeps what it is given in memory, and says that it is safe."""

    capabilities = Capabilities(accepts_durably=True, ordered_parts=True, max_bytes=1 << 30)

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.kept: list[Outgoing] = []

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Sent]:
        """All of it."""
        self.kept.extend(batch)
        self._meter.tick(len(batch))
        return [Sent.ACCEPTED] * len(batch)


@asynccontextmanager
async def relaying() -> AsyncIterator[Sequence[Row]]:
    """What lies in the outbox, in order and part by part, into memory."""
    with Postgres() as server:
        connection = await asyncpg.connect(server.url)
        await connection.execute(OUTBOX)

        async def raw() -> float:
            await connection.execute("truncate raw_outbox")
            rows = outgoing("raw", orders(COUNT))
            await connection.executemany(
                "insert into raw_outbox (part, frame) values ($1, $2)", [(row.part, row.frame) for row in rows]
            )
            await connection.execute("vacuum analyze raw_outbox")
            meter = Meter(COUNT)
            meter.tick(0)
            kept: list[bytes] = []
            for _ in range(COUNT // BATCH):
                found = await connection.fetch(
                    f"select number, part, frame from raw_outbox order by number limit {BATCH}"
                )
                kept += [row[2] for row in found]
                await connection.execute(
                    "delete from raw_outbox where number = any($1::bigint[])", [row[0] for row in found]
                )
                meter.tick(len(found))
            return meter.per_message()

        async def ours() -> float:
            store = open_backend("store", server.url, SystemClock())
            await store.open()
            name = next(names)
            await store.declare([name])
            rows = outgoing(name, orders(COUNT))
            for start in range(0, COUNT, 2_000):
                await store.commit([Unit(publish=rows[start : start + 2_000])])
            meter = Meter(COUNT)
            relay = Relay(store, Sink(meter), SystemClock(), name)  # type: ignore[arg-type]
            await relay.start()
            await meter.all.wait()
            taken = meter.per_message()
            await relay.stop()
            await store.close()
            return taken

        yield [
            Row("read and remove the same rows, raw", raw),
            Row("catga, relay", ours),
        ]
        await connection.close()


GROUPS = [
    Group("PostgreSQL, enqueue", enqueueing, unit="us/message", loops=("uvloop",), rounds=7),
    Group("PostgreSQL, durable consume", consuming, unit="us/message", loops=("uvloop",), rounds=7),
    Group("PostgreSQL, relay", relaying, unit="us/message", loops=("uvloop",), rounds=7),
]
