"""Reading rows in the order in which they became visible, with nothing lost: by the difference of snapshots.

Numbers are drawn before their transactions commit, so that a reader of numbers above the last one seen loses rows; the
order of transaction ids is not that of commits either. So a reader goes in steps. A step is what one snapshot sees and the
one before it did not, read by number; the next step begins where that snapshot ended. A transaction that stays open holds
up nobody: its rows belong to the step in which they became visible.
"""

import msgspec


class Snapshot(msgspec.Struct, frozen=True):
    """What was visible: transactions below `xmax` but for those `open`. In text as the database writes it."""

    text: str
    xmax: int
    open: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> "Snapshot":
        """From `xmin:xmax:xip,xip`."""
        _, xmax, open_ones = text.split(":")
        return cls(text, int(xmax), frozenset(int(xid) for xid in open_ones.split(",") if xid))

    def sees(self, xid: int) -> bool:
        """Whether what that transaction wrote was visible, if it was committed."""
        return xid < self.xmax and xid not in self.open


NOTHING = Snapshot.parse("1:1:")
"""From here all rows are new."""


class Seen(msgspec.Struct, frozen=True):
    """A snapshot, and a number that was drawn before it was taken: transactions that began after it draw higher ones."""

    snapshot: Snapshot
    drawn: int


class Step(msgspec.Struct, frozen=True):
    """From what was seen before to what is seen now."""

    before: Seen
    now: Seen


class Place(msgspec.Struct, frozen=True):
    """How far a lane has been read: all that `seen` sees, and, of a step that has begun, rows up to the number `past`."""

    seen: Seen
    until: Seen | None = None
    past: int = 0

    @classmethod
    def parse(cls, text: str) -> "Place":
        """As `text` wrote it."""
        parts = text.split("|")
        seen = Seen(Snapshot.parse(parts[0]), int(parts[1]))
        if len(parts) == 2:
            return cls(seen)
        return cls(seen, Seen(Snapshot.parse(parts[2]), int(parts[3])), int(parts[4]))

    @property
    def text(self) -> str:
        """For the store."""
        own = f"{self.seen.snapshot.text}|{self.seen.drawn}"
        if self.until is None:
            return own
        return f"{own}|{self.until.snapshot.text}|{self.until.drawn}|{self.past}"


BEGINNING = Place(Seen(NOTHING, 0))


def before(step: Step, number: int) -> Place:
    """The place in front of one row of a step."""
    return Place(step.before, step.now, number - 1)


class Lane:
    """One lane as one reader reads it; a question about it is asked, answered, and then the next."""

    __slots__ = ("place",)

    def __init__(self, place: Place) -> None:
        self.place: Place = place

    def may_have_more(self, now: Seen) -> bool:
        """Whether a question is worth asking: numbers were drawn since, transactions that were open have ended, or a step
        has not been read to its end."""
        place = self.place
        if place.until is not None or now.drawn > place.seen.drawn:
            return True
        before = place.seen.snapshot
        return now.snapshot.xmax > before.xmax or any(now.snapshot.sees(xid) for xid in before.open)

    @property
    def within(self) -> bool:
        """A step has begun and was not read to its end: where the rest of it is nothing, there may be more behind it."""
        return self.place.until is not None

    def took(self, now: Seen, numbers: list[int], over: bool) -> Step:
        """Rows of `numbers` were read; `over` where there are no more in the step. `now` is what the question saw, if it
        began one. The step that they belong to."""
        place = self.place
        until = now if place.until is None else place.until
        if over:
            self.place = Place(until)
        else:
            self.place = Place(place.seen, until, numbers[-1])
        return Step(place.seen, until)
