"""A part that an instance works: what it has read of it and not ended, in order."""

from collections.abc import Iterator, Sequence

from catga.ports.messages import WINDOW, Delivery, Lease
from catga.queues.rows import Row


class Track:
    """Rows in order; those that are not out were given back, and go out again before anything new is read."""

    __slots__ = ("out", "reached", "rows")

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.out: set[int] = set()
        self.reached: bool = False
        """All that was there when the part was claimed has been read."""

    def given_back(self) -> Iterator[Row]:
        """In order."""
        if len(self.rows) > len(self.out):
            yield from [row for token, row in self.rows.items() if token not in self.out]

    @property
    def oldest(self) -> Row | None:
        """The first that has not ended."""
        return next(iter(self.rows.values()), None)


class Held:
    """One part under one lease."""

    __slots__ = ("ended", "lease", "ordered", "since", "urgent", "wanted")

    def __init__(self, lease: Lease, since: int) -> None:
        self.lease: Lease = lease
        self.since: int = since
        """The last place there was when it was claimed: up to it a former holder may have had the rows."""
        self.ordered: Track = Track()
        self.urgent: Track = Track()
        self.ended: bool = False
        """Something has ended since its position was kept."""
        self.wanted: bool = False
        """Another instance is short of parts: this one is worked off and given back."""

    @property
    def out(self) -> int:
        """Deliveries that have not ended and were not given back."""
        return len(self.ordered.out) + len(self.urgent.out)

    @property
    def reached(self) -> bool:
        """All that was there when it was claimed has been read."""
        return self.ordered.reached and self.urgent.reached

    def track(self, urgent: bool) -> Track:
        """Of one kind."""
        return self.urgent if urgent else self.ordered

    def hand_out(self, track: Track, rows: Sequence[Row]) -> list[Delivery]:
        """New rows, or some that were given back; those that the window has no room for wait as if they had been."""
        found: list[Delivery] = []
        lease, since, known, out = self.lease, self.since, track.rows, track.out
        room = WINDOW - self.out
        for row in rows:
            part, _, token, place, frame, _ = row
            new = token not in known
            if new:
                known[token] = row
            if place <= since:
                inherited = True
            else:
                inherited = False
                track.reached = True
            if room > 0:
                room -= 1
                out.add(token)
                found.append(Delivery(token, part, frame, lease, new and not inherited, inherited))
        return found

    def give_back(self) -> None:
        """All that is out."""
        self.ordered.out.clear()
        self.urgent.out.clear()
