"""NATS JetStream: publishing, and consuming with the inbox in PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import nats as driver
import nats.errors
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub
from nats.js.client import JetStreamContext

from benches.durable.work import BATCH, Meter, Order, consumed, decode, names, orders, outgoing, packed, peer_consumed
from benches.runner import Group, Row
from catga import Catga
from catga.backends import open_backend
from catga.clock import SystemClock
from catga.ports.transport import Sent
from catga.testing.servers import Nats, Postgres

COUNT = 20_000
FEW = 4_000
"""For whom takes long."""


async def filled(js: JetStreamContext, payloads: Sequence[bytes]) -> str:
    """A stream of its own, with all of them."""
    name = next(names)
    await js.add_stream(name=name, subjects=[name])
    for payload in payloads:
        await js.publish_async(name, payload)
    await js.publish_async_completed()
    return name


@asynccontextmanager
async def publishing() -> AsyncIterator[Sequence[Row]]:
    """From messages to what the broker has confirmed."""
    with Nats(sync=True) as server:
        client = await driver.connect(server.url)
        js = client.jetstream(publish_async_max_pending=BATCH)
        transport = open_backend("transport", server.url, SystemClock())
        await transport.open()
        messages = orders(COUNT)

        async def raw() -> float:
            name = next(names)
            await js.add_stream(name=name, subjects=[name])
            meter = Meter(COUNT)
            meter.tick(0)
            for start in range(0, COUNT, BATCH):
                for payload in packed(messages[start : start + BATCH]):
                    await js.publish_async(name, payload, wait_stall=10)
            await js.publish_async_completed()
            taken = meter.per_message()
            await js.delete_stream(name)
            return taken

        async def ours() -> float:
            name = next(names)
            await transport.stream(name)
            meter = Meter(COUNT)
            meter.tick(0)
            for start in range(0, COUNT, BATCH):
                sent = await transport.publish(outgoing(name, messages[start : start + BATCH]))
                assert all(outcome is Sent.ACCEPTED for outcome in sent)
            return meter.per_message()

        yield [Row("windowed publish, raw", raw), Row("catga, publish", ours)]
        await transport.close()
        await client.close()


@asynccontextmanager
async def consuming() -> AsyncIterator[Sequence[Row]]:
    """Ours marks each message in PostgreSQL; nobody else here remembers anything."""
    with Nats(sync=True) as server, Postgres() as database:
        client = await driver.connect(server.url)
        js = client.jetstream(publish_async_max_pending=BATCH)
        transport = open_backend("transport", server.url, SystemClock())
        await transport.open()
        messages = orders(COUNT)
        payloads = packed(messages)

        async def raw() -> float:
            name = await filled(js, payloads)
            subscription = await js.pull_subscribe(name, durable=name)
            meter, left = Meter(COUNT), COUNT
            while left:
                found = await subscription.fetch(BATCH)
                for message in found:
                    decode(message.data)
                    meter.tick()
                    await message.ack()
                left -= len(found)
            await client.flush()
            taken = meter.per_message()
            await js.delete_stream(name)
            return taken

        async def ours() -> float:
            name = next(names)
            for start in range(0, COUNT, BATCH):
                await transport.publish(outgoing(name, messages[start : start + BATCH]))
            return await consumed(Catga(name, store=database.url, transport=server.url), COUNT)

        async def faststream() -> float:
            name = await filled(js, payloads[:FEW])

            async def start(meter: Meter) -> Callable[[], Awaitable[None]]:
                broker = NatsBroker(server.url, logger=None)

                @broker.subscriber(
                    name,
                    stream=JStream(name, declare=False),
                    pull_sub=PullSub(batch_size=BATCH),
                    durable=name,
                    ack_policy=AckPolicy.NACK_ON_ERROR,
                    decoder=lambda message: decode(message.body),
                )
                async def order(command: Order) -> None:
                    meter.tick()

                await broker.start()
                return broker.stop

            return await peer_consumed(FEW, start)

        yield [
            Row("fetch and ack, raw", raw),
            Row("catga, durable consume", ours),
            Row("FastStream, ack after handling", faststream),
        ]
        await transport.close()
        await client.close()


GROUPS = [
    Group("JetStream, publish", publishing, unit="us/message", loops=("uvloop",), rounds=7),
    Group("JetStream, durable consume", consuming, unit="us/message", loops=("uvloop",), rounds=7),
]
