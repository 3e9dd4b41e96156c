"""NATS: live events; JetStream: publishing, and consuming with the inbox in PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import nats as driver
import nats.errors
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

from benches.durable.work import (
    BATCH,
    Meter,
    Order,
    Price,
    consumed,
    decode,
    decode_price,
    names,
    orders,
    outgoing,
    packed,
    peer_consumed,
    prices,
)
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


@asynccontextmanager
async def live() -> AsyncIterator[Sequence[Row]]:
    """From the sender's call to the handler's; sender and listener have connections of their own in one process."""
    with Nats() as server:
        client, listener = await driver.connect(server.url), await driver.connect(server.url)
        messages = prices(COUNT)
        payloads = packed(messages)

        async def raw() -> float:
            name, meter = next(names), Meter(COUNT)

            async def heard(message: Msg) -> None:
                decode_price(message.data)
                meter.tick()

            subscription = await listener.subscribe(name, cb=heard)
            await listener.flush()
            meter.tick(0)
            for payload in payloads:
                await client.publish(name, payload)
            await meter.all.wait()
            taken = meter.per_message()
            await subscription.unsubscribe()
            return taken

        async def ours() -> float:
            name, meter = next(names), Meter(COUNT)
            url = f"{server.url}?prefix={name}"
            app, sender = Catga(name, bus=url), Catga(name, bus=url, messages=(Price,))

            @app.subscriber(Price)
            async def price(event: Price) -> None:
                meter.tick()

            async with app, sender:
                meter.tick(0)
                for message in messages:
                    await sender.broadcast(message)
                await meter.all.wait()
                return meter.per_message()

        async def faststream() -> float:
            name, meter = next(names), Meter(FEW)
            broker = NatsBroker(server.url, logger=None)

            @broker.subscriber(name, decoder=lambda message: decode_price(message.body))
            async def price(event: Price) -> None:
                meter.tick()

            await broker.start()
            meter.tick(0)
            for payload in payloads[:FEW]:
                await broker.publish(payload, name)
            await meter.all.wait()
            taken = meter.per_message()
            await broker.stop()
            return taken

        yield [Row("raw callback", raw), Row("catga", ours), Row("FastStream", faststream)]
        await client.close()
        await listener.close()


GROUPS = [
    Group("NATS core, publish to handler", live, unit="us/message", loops=("uvloop",), rounds=7),
    Group("JetStream, publish", publishing, unit="us/message", loops=("uvloop",), rounds=7),
    Group("JetStream, durable consume", consuming, unit="us/message", loops=("uvloop",), rounds=7),
]
