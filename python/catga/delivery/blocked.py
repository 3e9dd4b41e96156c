"""Which keys wait: a message of key K behind one that waits for its retry must wait too, or it would overtake."""

import sys
from collections.abc import Iterable

from catga.delivery.work import Work
from catga.ports.messages import Lease
from catga.ports.store import Parked, ParkedState


class Blocked:
    """Per handler and key, how many messages are parked; true while this instance holds the key's part."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, bytes | None], int] = {}
        self._places: dict[int, set[tuple[str, bytes | None]]] = {}
        self._epochs: dict[int, int] = {}
        self._heads: dict[tuple[str, bytes | None], int] = {}
        self.freed: set[tuple[str, bytes, int]] = set()
        """(handler, key, part) whose followers may be able to go on."""

    def unknown(self, leases: Iterable[Lease]) -> list[int]:
        """Parts whose parked keys have not been read since they were claimed; nothing of them may run before."""
        return [lease.part for lease in leases if self._epochs.get(lease.part) != lease.epoch]

    def load(self, leases: Iterable[Lease], rows: Iterable[tuple[str, bytes, int]]) -> None:
        """What is parked in parts that were just taken over: (handler, key, part) of each row."""
        for lease in leases:
            self._epochs[lease.part] = lease.epoch
            for place in self._places.pop(lease.part, ()):
                self._counts.pop(place, None)
                self._heads.pop(place, None)
        for handler, key, part in rows:
            self._add((handler, key), part, 1)
            self.freed.add((handler, key, part))

    def holds(self, work: Work) -> bool:
        """Whether it must wait behind another; the parked ones themselves need not."""
        return (
            bool(self._counts) and work.parked is None and work.envelope.key is not None and work.place in self._counts
        )

    def overtaken(self, work: Work) -> bool:
        """Whether a follower that was read together with its head must go back: the head has failed again."""
        return work.parked is not None and work.parked.order > self._heads.get(work.place, work.parked.order)

    def follow(self, work: Work) -> None:
        """A live message goes behind the others of its key; counted before its commit, so that nothing slips by."""
        self._add(work.place, work.part, 1)

    def change(self, work: Work, parks: Parked | None) -> None:
        """After a commit: `parks` is what this work has become, None where it took effect."""
        key = work.envelope.key
        if key is None:
            return
        waited = work.parked is not None or (parks is not None and parks.state is ParkedState.BLOCKED)
        waits = parks is not None and (parks.state is not ParkedState.DEAD or parks.due_ms < 0)
        if waits != waited:
            self._add(work.place, work.part, 1 if waits else -1)
        if not waits:
            self._heads.pop(work.place, None)
        elif parks is not None and parks.state is not ParkedState.BLOCKED:
            self._heads[work.place] = work.parked.order if work.parked is not None else sys.maxsize
        if work.place in self._counts and work.place not in self._heads:
            self.freed.add((work.target.id, key, work.part))

    def unfollow(self, work: Work) -> None:
        """It did not go behind the others after all: it was handled before."""
        self._add(work.place, work.part, -1)

    def _add(self, place: tuple[str, bytes | None], part: int, change: int) -> None:
        count = self._counts.get(place, 0) + change
        if count > 0:
            self._counts[place] = count
            self._places.setdefault(part, set()).add(place)
        else:
            self._counts.pop(place, None)
            self._places.get(part, set()).discard(place)
