"""Which keys wait: a message of key K behind one that waits for its retry must wait too, or it would overtake."""

from collections.abc import Iterable

from catga.delivery.work import Work
from catga.ports.messages import Lease


class Blocked:
    """Per handler and key, how many messages are parked; true while this instance holds the key's part."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, bytes | None], int] = {}
        self._places: dict[int, set[tuple[str, bytes | None]]] = {}
        self._epochs: dict[int, int] = {}

    def unknown(self, leases: Iterable[Lease]) -> list[int]:
        """Parts whose parked keys have not been read since they were claimed; nothing of them may run before."""
        return [lease.part for lease in leases if self._epochs.get(lease.part) != lease.epoch]

    def load(self, leases: Iterable[Lease], rows: Iterable[tuple[str, bytes, int]]) -> None:
        """What is parked in parts that were just taken over: (handler, key, part) of each row."""
        for lease in leases:
            self._epochs[lease.part] = lease.epoch
            for place in self._places.pop(lease.part, ()):
                self._counts.pop(place, None)
        for handler, key, part in rows:
            self._add((handler, key), part, 1)

    def holds(self, work: Work) -> bool:
        """Whether it must wait behind another; the parked ones themselves need not."""
        return bool(self._counts) and work.parked is None and work.envelope.key is not None and work.place in self._counts

    def change(self, work: Work, waits: bool, waited: bool) -> None:
        """After a commit: this work is parked now, or no longer."""
        if waits != waited and work.envelope.key is not None:
            self._add(work.place, work.part, 1 if waits else -1)

    def _add(self, place: tuple[str, bytes | None], part: int, change: int) -> None:
        count = self._counts.get(place, 0) + change
        if count > 0:
            self._counts[place] = count
            self._places.setdefault(part, set()).add(place)
        else:
            self._counts.pop(place, None)
            self._places.get(part, set()).discard(place)
