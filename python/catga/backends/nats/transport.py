"""`NatsTransport`: channels as JetStream streams."""

import asyncio
from collections.abc import Sequence

from catga.backends.nats.failures import transport_error
from catga.backends.nats.link import Link
from catga.backends.nats.options import NatsOptions
from catga.backends.nats.publishing import publish
from catga.backends.nats.rows import NatsRows
from catga.backends.nats.streams import Stream
from catga.backends.users import Users
from catga.clock import Clock
from catga.messages import NORMAL
from catga.ports.messages import Outgoing
from catga.ports.server import Server
from catga.ports.store import Store
from catga.ports.transport import Capabilities, Sent
from catga.queues import LeasedConsumer, rank_of
from catga.queues.packs import packed

PACK = 256 * 1024
"""Bytes of a pack that holds more than one message."""


class NatsTransport:
    """Publishes into, and consumes from, JetStream."""

    def __init__(self, options: NatsOptions, clock: Clock) -> None:
        self.options = options
        self.clock = clock
        self.link: Link = Link(options)
        self.capabilities: Capabilities = Capabilities(
            accepts_durably=True, ordered_parts=True, max_bytes=1024 * 1024 - 4096
        )
        self._streams: dict[str, Stream] = {}
        self._declaring = asyncio.Lock()
        self._users = Users()

    async def open(self) -> None:
        """Connects; idempotent."""
        await self._users.join(self._open)

    async def close(self) -> None:
        """After the last user's close."""
        await self._users.leave(self.link.close)

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Sent]:
        """See the port."""
        for channel in {message.channel for message in batch}:
            await self.stream(channel)
        urgent = [rank_of(message) < NORMAL for message in batch]
        return await publish(self.link, self._streams, batch, list(packed(batch, urgent, PACK)))

    async def consume(self, channel: str, owner: str, store: Store) -> LeasedConsumer:
        """Joins the competing instances of this app."""
        rows = NatsRows(self, await self.stream(channel), store, channel)
        await rows.open()
        consumer = LeasedConsumer(store, rows, self.clock, channel, owner, self.options.lease)
        await consumer.start()
        return consumer

    async def server(self) -> Server:
        """See the port. JetStream must be there."""
        try:
            await self.link.jetstream.account_info()
        except Exception as error:
            raise transport_error(error, self.link.where) from error
        return await self.link.server()

    async def stream(self, channel: str) -> Stream:
        """Declared once."""
        if (known := self._streams.get(channel)) is not None:
            return known
        async with self._declaring:
            if channel not in self._streams:
                stream = Stream(self.link, channel)
                await stream.declare()
                self._streams[channel] = stream
            return self._streams[channel]

    async def _open(self) -> None:
        self._declaring = asyncio.Lock()
        self._streams = {}
        await self.link.open()
