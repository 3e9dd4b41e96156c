"""The queue's rows in memory, as instances compete for them."""

from collections.abc import Sequence
from heapq import merge
from itertools import islice

from catga.backends.memory.rows import Row as MemoryRow
from catga.backends.memory.store import MemoryStore
from catga.messages import NORMAL
from catga.ports.messages import Lease
from catga.queues import Row


class MemoryRows:
    """One channel's."""

    def __init__(self, store: MemoryStore, channel: str, fenced: bool) -> None:
        self._store = store
        self._fenced = fenced
        self._channel = channel
        self._read: dict[int, list[int]] = {}

    def version(self) -> int:
        """Always the same: whatever is committed in this process rings the bell of every store."""
        return 0

    async def changed(self, version: int, seconds: float) -> None:
        """See the port."""
        await self._store.bell.wait(seconds)

    def wake(self) -> None:
        """See the port."""
        self._store.bell.ring()

    async def begin(self, leases: Sequence[Lease]) -> Sequence[int]:
        """At the part's first row: what has ended is not there any more."""
        for lease in leases:
            self._read[lease.part] = [0]
        return [self._store.data.latest()] * len(leases)

    async def read(self, wants: Sequence[tuple[int, int]], most: int) -> Sequence[Row]:
        """See the port."""
        found: list[Row] = []
        for part, room in wants:
            read = self._read[part]
            line = self._store.data.queue(self._channel, part).line(NORMAL)
            rows = list(islice(line.after(read[0]), min(room, most - len(found))))
            if rows:
                read[0] = rows[-1].place
                found += [_row(part, row) for row in rows]
        return found

    async def urgent(self, parts: Sequence[int], known: int, most: int) -> Sequence[Row]:
        """See the port."""
        found: list[Row] = []
        for rank in range(NORMAL):
            lines = ([(row.place, part, row) for row in self._line(part, rank)] for part in parts)
            found += [_row(part, row) for _, part, row in islice(merge(*lines), known + most - len(found))]
        return found

    async def end(self, items: Sequence[tuple[int, Lease]]) -> Sequence[bool]:
        """See the port."""
        data = self._store.data
        # Leases of an app whose store is elsewhere were checked when it committed what it did.
        fresh = [not self._fenced or data.leases.holds(lease) for _, lease in items]
        for (token, _), ours in zip(items, fresh, strict=True):
            if ours:
                data.end(token)
        return fresh

    def _line(self, part: int, rank: int) -> Sequence[MemoryRow]:
        return list(self._store.data.queue(self._channel, part).line(rank).after(0))


def _row(part: int, row: MemoryRow) -> Row:
    return part, row.number, row.place, row.message.frame
