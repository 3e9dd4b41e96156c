"""The queue in PostgreSQL: parts as logs, leases and positions beside them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from catga.backends.postgres.rows import PostgresRows
from catga.ports.messages import Outgoing
from catga.ports.store import Store
from catga.ports.transport import Capabilities, Sent
from catga.queues import LeasedConsumer

if TYPE_CHECKING:
    from catga.backends.postgres.store import PostgresStore


class PostgresTransport:
    """Publishes into, and consumes from, the queue of one schema."""

    def __init__(self, store: "PostgresStore") -> None:
        self._store = store
        self.capabilities: Capabilities = Capabilities(
            accepts_durably=True, ordered_parts=True, max_bytes=256 * 1024 * 1024, store_id=store.store_id
        )

    async def open(self) -> None:
        """Connects, if the app's store has not."""
        await self._store.open()

    async def close(self) -> None:
        """Ends it, if nobody else uses it."""
        await self._store.close()

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Sent]:
        """All of it in one commit."""
        await self._store.write(batch)
        return [Sent.ACCEPTED] * len(batch)

    async def consume(self, channel: str, owner: str, store: Store) -> LeasedConsumer:
        """Joins the competing instances of this channel."""
        await self._store.declare([channel])
        rows = PostgresRows(self._store, store, channel)
        consumer = LeasedConsumer(store, rows, self._store.clock, channel, owner, self._store.options.lease)
        await consumer.start()
        return consumer
