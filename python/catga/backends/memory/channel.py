"""The queue's rows in memory, as instances compete for them."""

from collections.abc import Collection, Sequence
from heapq import merge
from itertools import islice

from catga.backends.memory.rows import Row as MemoryRow
from catga.backends.memory.store import MemoryStore
from catga.messages import NORMAL
from catga.ports.messages import Lease
from catga.queues import Row


class MemoryRows:
    """One channel's."""

    def __init__(self, store: MemoryStore, channel: str) -> None:
        self._store = store
        self._channel = channel

    def version(self) -> int:
        """Always the same: whatever is committed in this process rings the bell of every store."""
        return 0

    async def changed(self, version: int, seconds: float) -> None:
        """See the port."""
        await self._store.bell.wait(seconds)

    def wake(self) -> None:
        """See the port."""
        self._store.bell.ring()

    async def ordered(self, part: int, after: int, most: int) -> Sequence[Row]:
        """See the port."""
        rows = self._store.data.queue(self._channel, part).line(NORMAL).after(after)
        return [_row(part, row) for row in islice(rows, most)]

    async def urgent(self, parts: Sequence[int], most: int) -> Sequence[Row]:
        """See the port."""
        found: list[Row] = []
        for rank in range(NORMAL):
            lines = ([(row.place, part, row) for row in self._line(part, rank)] for part in parts)
            found += [_row(part, row) for _, part, row in islice(merge(*lines), most - len(found))]
        return found

    async def latest(self, part: int) -> int:
        """See the port."""
        return self._store.data.latest()

    async def end(self, items: Sequence[tuple[int, Lease, bool]]) -> Sequence[bool]:
        """See the port."""
        data = self._store.data
        fresh = [data.leases.holds(lease) for _, lease, _ in items]
        for (token, _, gone), ours in zip(items, fresh, strict=True):
            if ours and gone:
                data.end(token)
        return fresh

    async def exist(self, tokens: Collection[int]) -> bool:
        """See the port."""
        return any(self._store.data.queued(token) for token in tokens)

    async def alone(self, lease: Lease, token: int) -> int:
        """See the port."""
        return await self._store.alone(lease, token)

    def _line(self, part: int, rank: int) -> Sequence[MemoryRow]:
        return list(self._store.data.queue(self._channel, part).line(rank).after(0))


def _row(part: int, row: MemoryRow) -> Row:
    return part, row.number, row.place, row.message.frame
