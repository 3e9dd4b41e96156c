"""The queue in a SQLite file: parts, leases and epochs shared by the processes of one machine."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from catga.backends.sqlite.bookkeeping import insert_queued
from catga.backends.sqlite.rows import SqliteRows
from catga.ports.messages import Outgoing
from catga.ports.store import Store
from catga.ports.transport import Capabilities, Sent
from catga.queues import LeasedConsumer

if TYPE_CHECKING:
    from catga.backends.sqlite.store import SqliteStore


class SqliteTransport:
    """Publishes into, and consumes from, the queue of one file."""

    def __init__(self, store: "SqliteStore") -> None:
        self._store = store
        self.capabilities: Capabilities = Capabilities(
            accepts_durably=True, ordered_parts=True, max_bytes=512 * 1024 * 1024, store_id=store.store_id
        )

    async def open(self) -> None:
        """Opens the file, if the app's store has not."""
        await self._store.open()

    async def close(self) -> None:
        """Closes it, if nobody else uses it."""
        await self._store.close()

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Sent]:
        """All of it in one commit."""
        await self._store.declare([message.channel for message in batch])
        await self._store.write(lambda connection: insert_queued(connection, self._store.names, batch))
        self._store.bell.ring()
        return [Sent.ACCEPTED] * len(batch)

    async def consume(self, channel: str, owner: str, store: Store) -> LeasedConsumer:
        """Joins the competing instances of this channel."""
        await self._store.declare([channel])
        rows = SqliteRows(self._store, channel, fenced=store.store_id == self._store.store_id)
        consumer = LeasedConsumer(store, rows, self._store.clock, channel, owner, self._store.options.lease)
        await consumer.start()
        return consumer
