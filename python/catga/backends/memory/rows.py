"""Rows in the order in which they became visible, read from any place, deleted anywhere."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from catga.ports.messages import Outgoing
from catga.queues import rank_of


class Row:
    """A message of the queue or the outbox. `number` was taken when it was added, `place` when its commit made it
    visible: commits that overlap give numbers in one order and places in another, and only places may be read by."""

    __slots__ = ("gone", "message", "number", "place")

    def __init__(self, number: int, message: Outgoing) -> None:
        self.number: int = number
        self.place: int = 0
        self.message: Outgoing = message
        self.gone: bool = False


class Line:
    """A list of rows by place. Deleted ones stay until they are half of it: deleting costs the same everywhere."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._gone = 0

    def __len__(self) -> int:
        return len(self._rows) - self._gone

    def append(self, row: Row) -> None:
        """A row whose place is after all others."""
        self._rows.append(row)

    def dropped(self) -> None:
        """One of these rows was marked as gone."""
        self._gone += 1
        if self._gone * 2 > len(self._rows) + 32:
            self._rows = [row for row in self._rows if not row.gone]
            self._gone = 0

    def after(self, place: int) -> Iterator[Row]:
        """Those behind a place, in order."""
        rows = self._rows
        for index in range(bisect_right(rows, place, key=_place), len(rows)):
            if not rows[index].gone:
                yield rows[index]

    def first(self, most: int) -> Sequence[Row]:
        """The oldest ones."""
        return [row for row, _ in zip(self.after(0), range(most), strict=False)]


class Queue:
    """One part of a channel: a line for each rank, so that who is urgent is found without a search."""

    def __init__(self) -> None:
        self._lines: dict[int, Line] = {}

    def append(self, row: Row) -> None:
        """At the end of its line."""
        self.line(rank_of(row.message)).append(row)

    def drop(self, row: Row) -> None:
        """Ends one."""
        row.gone = True
        self.line(rank_of(row.message)).dropped()

    def line(self, rank: int) -> Line:
        """The rows of one rank."""
        if (found := self._lines.get(rank)) is None:
            found = self._lines[rank] = Line()
        return found


def _place(row: Row) -> int:
    return row.place
