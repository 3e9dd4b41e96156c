"""The parked rows: due retries, their followers, schedules, dead letters."""

from collections.abc import Callable, Collection, Iterator

import msgspec

from catga.ports.store import Parked, ParkedState

_WAITING = {ParkedState.RETRY, ParkedState.SCHEDULED, ParkedState.BLOCKED}


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

    def due(self, channel: str, parts: Collection[int], now_ms: int, most: int) -> list[Parked]:
        """Retries and schedules whose time has come, and followers whose head has gone."""
        heads: dict[tuple[object, ...], int] = {}
        for row in self._of(channel, parts, _holds_up):
            place = _key(row)
            heads[place] = min(heads.get(place, row.order), row.order)
        free = (
            row
            for row in self._of(channel, parts, lambda row: row.state in _WAITING and row.due_ms <= now_ms)
            if row.state is not ParkedState.BLOCKED or row.key is None or heads[_key(row)] == row.order
        )
        return sorted(free, key=lambda row: (row.due_ms, row.order))[:most]

    def waiting(self, channel: str, parts: Collection[int]) -> list[tuple[str, bytes, int]]:
        """Rows that later messages of their key must wait behind."""
        rows = self._of(channel, parts, lambda row: row.state is not ParkedState.SCHEDULED and _holds_up(row))
        return [
            (row.handler, row.key, row.part) for row in sorted(rows, key=lambda row: row.order) if row.key is not None
        ]

    def dead(self, most: int, handler: str | None) -> list[Parked]:
        """Newest first."""
        rows = (row for row in self._rows.values() if row.state is ParkedState.DEAD and handler in (None, row.handler))
        return sorted(rows, key=lambda row: -row.order)[:most]

    def next_due(self) -> int | None:
        """The earliest time."""
        return min(
            (row.due_ms for row in self._rows.values() if row.state in (ParkedState.RETRY, ParkedState.SCHEDULED)),
            default=None,
        )

    def pending(self) -> int:
        """Those that are neither dead nor scheduled."""
        return sum(row.state in (ParkedState.RETRY, ParkedState.BLOCKED) for row in self._rows.values())

    def _of(self, channel: str, parts: Collection[int], wanted: Callable[[Parked], bool]) -> Iterator[Parked]:
        return (row for row in self._rows.values() if row.channel == channel and row.part in parts and wanted(row))


def _holds_up(row: Parked) -> bool:
    return row.key is not None and (row.state is not ParkedState.DEAD or row.due_ms < 0)


def _key(row: Parked) -> tuple[str, bytes | None, int]:
    return row.handler, row.key, row.part
