"""The queue in Redis: a stream a part, packs in it, leases and positions beside it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from catga.backends.redis.rows import RedisRows
from catga.ports.messages import Outgoing
from catga.ports.store import Store
from catga.ports.transport import Capabilities, Sent
from catga.queues import LeasedConsumer

if TYPE_CHECKING:
    from catga.backends.redis.store import RedisStore

LARGEST = 64 * 1024 * 1024
"""Bytes of a message: a command of several of them stays far below what the server reads at once."""


class RedisTransport:
    """Publishes into, and consumes from, the streams of one prefix."""

    def __init__(self, store: "RedisStore") -> None:
        self._store = store
        self.capabilities: Capabilities = Capabilities(
            accepts_durably=store.options.durability != "NONE",
            ordered_parts=True,
            max_bytes=LARGEST,
            store_id=store.store_id,
        )

    async def open(self) -> None:
        """Connects, if the app's store has not."""
        await self._store.open()

    async def close(self) -> None:
        """Ends it, if nobody else uses it."""
        await self._store.close()

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Sent]:
        """All of it by one script; a message that is too large is refused, and with it what its part has behind it."""
        refused: set[tuple[str, int]] = set()
        outcomes: list[Sent] = []
        for message in batch:
            line = (message.channel, message.part)
            if line in refused:
                outcomes.append(Sent.SKIPPED)
            elif len(message.frame) > LARGEST:
                refused.add(line)
                outcomes.append(Sent.REJECTED)
            else:
                outcomes.append(Sent.ACCEPTED)
        taken = [message for message, sent in zip(batch, outcomes, strict=True) if sent is Sent.ACCEPTED]
        if taken:
            await self._store.write(taken)
        return outcomes

    async def consume(self, channel: str, owner: str, store: Store) -> LeasedConsumer:
        """Joins the competing instances of this channel."""
        rows = RedisRows(self._store, store, channel)
        consumer = LeasedConsumer(store, rows, self._store.clock, channel, owner, self._store.options.lease)
        await consumer.start()
        return consumer
