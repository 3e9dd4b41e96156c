"""Valkey streams, with the inbox in the same server."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import redis.asyncio as driver
from faststream import AckPolicy
from faststream.redis import BinaryMessageFormatV1, RedisBroker, StreamSub

from benches.durable.work import BATCH, Meter, Order, consumed, decode, names, orders, packed, peer_consumed
from benches.runner import Group, Row
from catga import Catga
from catga.testing.servers import Valkey

COUNT = 20_000
FEW = 4_000
"""For whom takes long."""


@asynccontextmanager
async def consuming() -> AsyncIterator[Sequence[Row]]:
    """Read, decode and acknowledge; ours also asks and writes its inbox."""
    with Valkey() as server:
        client = driver.Redis.from_url(server.url)
        messages = orders(COUNT)
        payloads = packed(messages)

        async def raw() -> float:
            name = next(names)
            async with client.pipeline(transaction=False) as pipe:
                for payload in payloads:
                    pipe.xadd(name, {"p": payload})
                await pipe.execute()
            await client.xgroup_create(name, "g", "0")
            meter, left = Meter(COUNT), COUNT
            while left:
                ((_, entries),) = await client.xreadgroup("g", "c", {name: ">"}, count=BATCH)
                for _, fields in entries:
                    decode(fields[b"p"])
                meter.tick(len(entries))
                await client.xack(name, "g", *(entry for entry, _ in entries))
                left -= len(entries)
            taken = meter.per_message()
            await client.delete(name)
            return taken

        async def ours() -> float:
            name = next(names)
            sender = Catga(name, messages=(Order,), store=server.url, transport=server.url)
            await sender.start(work=False)
            for start in range(0, COUNT, 2_000):
                await sender.enqueue_many(messages[start : start + 2_000])
            await sender.stop()
            return await consumed(Catga(name, store=server.url, transport=server.url), COUNT)

        async def faststream() -> float:
            name = next(names)
            broker = RedisBroker(server.url, logger=None, message_format=BinaryMessageFormatV1)
            await broker.connect()
            for payload in payloads[:FEW]:
                await broker.publish(payload, stream=name)

            async def start(meter: Meter) -> Callable[[], Awaitable[None]]:
                @broker.subscriber(
                    stream=StreamSub(name, group="g", consumer="c", max_records=BATCH, polling_interval=10),
                    ack_policy=AckPolicy.NACK_ON_ERROR,
                    decoder=lambda message: decode(message.body),
                )
                async def order(command: Order) -> None:
                    meter.tick()

                await client.xgroup_create(name, "g", "0")
                await broker.start()
                return broker.stop

            return await peer_consumed(FEW, start)

        yield [
            Row("XREADGROUP and XACK, raw", raw),
            Row("catga, durable consume", ours),
            Row("FastStream, stream subscriber", faststream),
        ]
        await client.aclose()


GROUPS = [Group("Redis streams, durable consume", consuming, unit="us/message", loops=("uvloop",), rounds=7)]
