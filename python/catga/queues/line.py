"""One part of a broker's log, as it is read from entry to entry."""

from collections import deque

from catga.queues.packs import BITS, FRAMES, unpacked


class Line:
    """`next` is the number of the first message that was not taken out of it: an entry's number, and a place in its pack."""

    __slots__ = ("_reached", "_waiting")

    def __init__(self, number: int) -> None:
        self._reached: int = number
        self._waiting: deque[tuple[int, bytes]] = deque()

    @property
    def entry(self) -> int:
        """The entry at which reading goes on."""
        return self._reached >> BITS

    @property
    def next(self) -> int:
        """Everything before it was taken."""
        return self._waiting[0][0] if self._waiting else self._reached

    def __len__(self) -> int:
        return len(self._waiting)

    def feed(self, entry: int, payload: bytes) -> None:
        """What stands in an entry that follows those that were read."""
        first = self._reached & (FRAMES - 1) if entry == self.entry else 0
        for place, frame in enumerate(unpacked(payload)):
            if place >= first:
                self._waiting.append((entry << BITS | place, frame))
        self._reached = (entry + 1) << BITS

    def take(self, most: int) -> list[tuple[int, bytes]]:
        """The next messages, with their numbers."""
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
