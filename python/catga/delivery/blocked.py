"""Which keys wait: a message of key K behind one that waits for its retry must wait too, or it would overtake."""

from collections.abc import Iterable

from catga.delivery.work import Work
from catga.ports.store import ParkedState


class Blocked:
    """Per handler and key, how many messages are parked; true while this instance holds the key's part."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, bytes | None], int] = {}

    def load(self, rows: Iterable[tuple[str, bytes, ParkedState]]) -> None:
        """What was parked before this instance took the parts over."""
        fresh: dict[tuple[str, bytes | None], int] = {}
        for handler, key, _ in rows:
            fresh[handler, key] = fresh.get((handler, key), 0) + 1
        self._counts.update(fresh)

    def holds(self, work: Work) -> bool:
        """Whether it must wait behind another; the parked ones themselves need not."""
        return bool(self._counts) and work.parked is None and work.envelope.key is not None and work.place in self._counts

    def change(self, work: Work, waits: bool, waited: bool) -> None:
        """After a commit: this work is parked now, or no longer."""
        if waits == waited or work.envelope.key is None:
            return
        count = self._counts.get(work.place, 0) + (1 if waits else -1)
        if count > 0:
            self._counts[work.place] = count
        else:
            self._counts.pop(work.place, None)
