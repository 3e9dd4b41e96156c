"""A part that an instance works: what it has read of it and not ended, in order."""

from collections.abc import Iterator, Sequence

from catga.ports.messages import Delivery, Lease
from catga.queues.rows import Row


class Track:
    """Rows in order; those that are not out were given back, and go out again before anything new is read."""

    __slots__ = ("out", "rows")

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.out: set[int] = set()

    def given_back(self) -> Iterator[Row]:
        """In order."""
        if len(self.rows) > len(self.out):
            yield from [row for token, row in self.rows.items() if token not in self.out]


class Held:
    """One part under one lease."""

    __slots__ = ("lease", "ordered", "reached", "since", "urgent", "urgent_reached", "wanted")

    def __init__(self, lease: Lease, since: int) -> None:
        self.lease: Lease = lease
        self.since: int = since
        """The last place there was when it was claimed: up to it a former holder may have had the rows."""
        self.ordered: Track = Track()
        self.urgent: Track = Track()
        self.reached: bool = False
        """All that was there when it was claimed has been read, but for what is urgent."""
        self.urgent_reached: bool = False
        self.wanted: bool = False
        """Another instance is short of parts: this one is worked off and given back."""

    @property
    def out(self) -> int:
        """Deliveries that have not ended and were not given back."""
        return len(self.ordered.out) + len(self.urgent.out)

    def hand_out(self, track: Track, rows: Sequence[Row]) -> list[Delivery]:
        """New rows, or some that were given back."""
        found: list[Delivery] = []
        for row in rows:
            part, token, place, frame = row
            new = token not in track.rows
            if new:
                track.rows[token] = row
            track.out.add(token)
            inherited = place <= self.since
            found.append(Delivery(token, part, frame, self.lease, new and not inherited, inherited))
        return found

    def give_back(self) -> None:
        """All that is out."""
        self.ordered.out.clear()
        self.urgent.out.clear()
