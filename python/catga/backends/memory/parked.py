"""The parked rows: due retries, their followers, schedules, dead letters."""

from collections.abc import Callable, Collection, Iterator
from itertools import islice, takewhile

import msgspec

from catga.ports.store import Parked, ParkedState, Waiting

_TIMED = {ParkedState.RETRY, ParkedState.SCHEDULED}


class ParkedRows:
    """By (handler, id). Places only grow, so that a follower never comes before its head."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, bytes], Parked] = {}
        self._place = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: tuple[str, bytes]) -> bool:
        return name in self._rows

    def put(self, row: Parked) -> None:
        """A row that was parked before comes with its place and keeps it."""
        if not row.order:
            self._place += 1
            row = msgspec.structs.replace(row, order=self._place)
        self._place = max(self._place, row.order)
        self._rows[row.handler, row.id] = row

    def take(self, name: tuple[str, bytes]) -> None:
        """Removes a row that is there."""
        del self._rows[name]

    def rename(self, old: str, new: str) -> None:
        """A handler's rows become another's, unless that has them already."""
        for name in [name for name in self._rows if name[0] == old]:
            row = self._rows.pop(name)
            self._rows.setdefault((new, row.id), msgspec.structs.replace(row, handler=new))

    def due(self, channel: str, parts: Collection[int], now_ms: int, most: int) -> list[Parked]:
        """Retries and schedules whose time has come."""
        rows = self._of(channel, parts, lambda row: row.state in _TIMED and row.due_ms <= now_ms)
        return sorted(rows, key=lambda row: (row.due_ms, row.order))[:most]

    def followers(self, channel: str, part: int, handler: str, key: bytes, most: int) -> list[Parked]:
        """The blocked rows at the front of a key's queue; dead letters that do not block are passed over."""
        rows = self._of(channel, (part,), lambda row: row.handler == handler and row.key == key and _holds_up(row))
        front = takewhile(lambda row: row.state is ParkedState.BLOCKED, sorted(rows, key=lambda row: row.order))
        return list(islice(front, most))

    def waiting(self, channel: str, parts: Collection[int]) -> list[Waiting]:
        """Rows that later messages of their key must wait behind."""
        rows = self._of(channel, parts, lambda row: row.state is not ParkedState.SCHEDULED and _holds_up(row))
        return [
            Waiting(row.handler, row.key, row.part, row.id, row.blocks)
            for row in sorted(rows, key=lambda row: row.order)
            if row.key is not None
        ]

    def dead(self, most: int, handler: str | None) -> list[Parked]:
        """Newest first."""
        rows = (row for row in self._rows.values() if row.state is ParkedState.DEAD and handler in (None, row.handler))
        return sorted(rows, key=lambda row: -row.order)[:most]

    def next_due(self) -> int | None:
        """The earliest time."""
        return min(
            (row.due_ms for row in self._rows.values() if row.state in _TIMED),
            default=None,
        )

    def pending(self) -> int:
        """Those that are neither dead nor scheduled, and wait behind no dead letter."""
        behind = {_queue_of(row) for row in self._rows.values() if row.blocks}
        return sum(
            row.state is ParkedState.RETRY or (row.state is ParkedState.BLOCKED and _queue_of(row) not in behind)
            for row in self._rows.values()
        )

    def _of(self, channel: str, parts: Collection[int], wanted: Callable[[Parked], bool]) -> Iterator[Parked]:
        return (row for row in self._rows.values() if row.channel == channel and row.part in parts and wanted(row))


def _holds_up(row: Parked) -> bool:
    return row.key is not None and (row.state is not ParkedState.DEAD or row.blocks)


def _queue_of(row: Parked) -> tuple[str, str, int, bytes | None]:
    return row.handler, row.channel, row.part, row.key
