"""The queue's rows in memory, as instances compete for them."""

from collections.abc import Collection, Sequence
from heapq import merge
from itertools import islice

from catga.backends.memory.rows import Row as MemoryRow
from catga.backends.memory.store import MemoryStore
from catga.messages import NORMAL
from catga.ports.messages import Lease
from catga.queues import End, Row, Want


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

    async def read(
        self, wants: Sequence[Want], most: int, known: Collection[int]
    ) -> tuple[Sequence[Row], Collection[tuple[int, bool]]]:
        """See the port."""
        found, ended = self._urgent({part: room for part, urgent, room in wants if urgent}, known)
        if len(found) > most:
            return found[:most], []
        for part, urgent, room in wants:
            if urgent:
                continue
            if len(found) >= most:
                break
            read, room = self._read[part], min(room, most - len(found))
            rows = list(islice(self._store.data.queue(self._channel, part).line(NORMAL).after(read[0]), room))
            if rows:
                read[0] = rows[-1].place
                found += [_row(part, False, row) for row in rows]
            if len(rows) < room:
                ended.append((part, False))
        return found, ended

    def _urgent(self, rooms: dict[int, int], known: Collection[int]) -> tuple[list[Row], list[tuple[int, bool]]]:
        left = dict(rooms)
        found: list[Row] = []
        for rank in range(NORMAL):
            for _, part, row in merge(*([(row.place, part, row) for row in self._line(part, rank)] for part in rooms)):
                if left[part] > 0 and row.number not in known:
                    left[part] -= 1
                    found.append(_row(part, True, row))
        return found, [(part, True) for part, room in left.items() if room > 0]

    async def end(self, items: Sequence[tuple[int, Lease]]) -> Sequence[bool]:
        """See the port."""
        data = self._store.data
        # Leases of an app whose store is elsewhere were checked when it committed what it did.
        fresh = [not self._fenced or data.leases.holds(lease) for _, lease in items]
        for (token, _), ours in zip(items, fresh, strict=True):
            if ours:
                data.end(token)
        return fresh

    async def close(self) -> None:
        """Nothing was opened."""

    async def positions(self, ends: Sequence[End]) -> Sequence[str | None]:
        """None is kept: what is left begins where the line does."""
        return [None] * len(ends)

    def _line(self, part: int, rank: int) -> Sequence[MemoryRow]:
        return list(self._store.data.queue(self._channel, part).line(rank).after(0))


def _row(part: int, urgent: bool, row: MemoryRow) -> Row:
    return part, urgent, row.number, row.place, row.message.frame, None
