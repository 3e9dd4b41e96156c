"""The queue in memory: published into, and consumed by leases, as in a store that several processes share."""

from collections.abc import Sequence

from catga.backends.memory.channel import MemoryRows
from catga.backends.memory.store import MemoryStore
from catga.ports.messages import Outgoing
from catga.ports.store import Store
from catga.ports.transport import Capabilities, Sent
from catga.queues import LeasedConsumer


class MemoryTransport:
    """Keeps nothing of what it accepts once the process ends, and says so."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.capabilities: Capabilities = Capabilities(
            accepts_durably=False, ordered_parts=True, max_bytes=512 * 1024 * 1024, store_id=store.store_id
        )

    async def open(self) -> None:
        """Opens the store, if nobody has."""
        await self._store.open()

    async def close(self) -> None:
        """Closes it, if nobody else uses it."""
        await self._store.close()

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Sent]:
        """All of it in one commit."""
        await self._store.publish(batch)
        return [Sent.ACCEPTED] * len(batch)

    async def consume(self, channel: str, owner: str, store: Store) -> LeasedConsumer:
        """Joins the competing instances of this channel."""
        rows = MemoryRows(self._store, channel, fenced=store.store_id == self._store.store_id)
        consumer = LeasedConsumer(store, rows, self._store.clock, channel, owner, self._store.options.lease)
        await consumer.start()
        return consumer
