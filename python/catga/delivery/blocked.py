"""Which keys wait: a message of key K behind one that waits for its retry must wait too, or it would overtake."""

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TypeAlias

from catga.delivery.work import Work
from catga.ports.messages import Lease
from catga.ports.store import Parked, ParkedState, Waiting

Place: TypeAlias = tuple[str, bytes | None]
"""A handler and a key."""

ASKED = 64
"""Keys behind a dead letter that are looked at in one go: somebody may have purged it."""


class Blocked:
    """Per handler and key, which messages are parked; true while this instance holds the key's part."""

    def __init__(self) -> None:
        self.waiting: dict[Place, set[bytes]] = {}
        self._parts: dict[Place, int] = {}
        self._epochs: dict[int, int] = {}
        self._heads: dict[Place, dict[bytes, int]] = {}
        """Where those stand that wait for their retry or replay; all others of the key wait behind them."""
        self._dead: dict[Place, bytes] = {}
        """Heads that are dead letters and block."""
        self._freed: OrderedDict[Place, None] = OrderedDict()
        self._learning = asyncio.Lock()

    def unknown(self, leases: Iterable[Lease]) -> list[int]:
        """Parts whose parked keys have not been read since they were claimed; nothing of them may run before."""
        return [lease.part for lease in leases if self._epochs.get(lease.part, -1) < lease.epoch]

    async def learn(
        self, leases: Mapping[int, Lease], read: Callable[[list[int]], Awaitable[Sequence[Waiting]]]
    ) -> None:
        """Before anything of a part runs that was taken over, what is parked in it must be known: it comes first."""
        while fresh := self.unknown(leases.values()):
            async with self._learning:
                # Somebody else may have learned it meanwhile, and what has ended since is no longer as it was read.
                if fresh := self.unknown(leases.values()):
                    self._load([leases[part] for part in fresh], await read(fresh))

    def _load(self, leases: Iterable[Lease], rows: Iterable[Waiting]) -> None:
        epochs = {lease.part: lease.epoch for lease in leases}
        for place in [place for place, part in self._parts.items() if part in epochs]:
            self._forget(place)
        self._epochs |= epochs
        for row in rows:
            place = (row.handler, row.key)
            self._add(place, row.part, row.id)
            self._freed[place] = None
            if row.dead:
                self._dead[place] = row.id

    def holds(self, work: Work) -> bool:
        """Whether a live message must wait behind others."""
        return work.envelope.key is not None and work.place in self.waiting

    def overtaken(self, parked: Parked) -> bool:
        """Whether a follower that was read together with its head must go back: the head has failed again."""
        heads = self._heads.get((parked.handler, parked.key))
        return heads is not None and parked.order > min(heads.values())

    def follow(self, work: Work) -> None:
        """A live message goes behind the others of its key; known before its commit, so that nothing slips by."""
        if self._superseded(work):
            return
        work.joined = work.envelope.id not in self.waiting.get(work.place, ())
        self._add(work.place, work.part, work.envelope.id)

    def unfollow(self, work: Work) -> None:
        """It did not go behind the others after all: it was handled before, or stands there since."""
        if work.joined and not self._superseded(work):
            self._drop(work.place, work.envelope.id)

    def change(self, work: Work, parks: Parked | None) -> None:
        """After a commit: `parks` is what this work has become, None where it took effect."""
        place, id = work.place, work.envelope.id
        if place[1] is None or self._superseded(work):
            return
        self._end_head(place, id)
        if parks is None or (parks.state is ParkedState.DEAD and not parks.blocks):
            self._drop(place, id)
        else:
            self._add(place, work.part, id)
            if parks.state is not ParkedState.BLOCKED:
                self._heads.setdefault(place, {})[id] = work.parked.order if work.parked is not None else sys.maxsize
            if parks.state is ParkedState.DEAD:
                self._dead[place] = id
        if place in self.waiting and place not in self._heads:
            self._freed[place] = None

    def suspect_dead(self) -> None:
        """Dead letters that block may have been purged by somebody else: some of their keys are looked at, all in turn."""
        for place in list(islice(self._dead, ASKED)):
            self._dead[place] = self._dead.pop(place)
            self._freed[place] = None

    def next_freed(self) -> tuple[str, bytes, int] | None:
        """(handler, key, part) whose followers may be able to go on; each once."""
        while self._freed:
            (handler, key), _ = self._freed.popitem(last=False)
            place = (handler, key)
            if key is not None and place in self._parts:
                return handler, key, self._parts[place]
        return None

    def free(self, places: Iterable[Place]) -> None:
        """Their followers are to be looked for."""
        self._freed.update(dict.fromkeys(places))

    def went_on(self, handler: str, key: bytes) -> None:
        """Followers were found with nothing before them: a dead letter that stood there has been purged."""
        place = (handler, key)
        if (id := self._dead.get(place)) is not None:
            self._end_head(place, id)
            self._drop(place, id)

    def _superseded(self, work: Work) -> bool:
        """What it committed under an older lease was read when the part was claimed anew, and may have changed since."""
        return work.lease is not None and work.lease.epoch < self._epochs.get(work.part, 0)

    def _end_head(self, place: Place, id: bytes) -> None:
        if self._dead.get(place) == id:
            del self._dead[place]
        heads = self._heads.get(place)
        if heads is not None:
            heads.pop(id, None)
            if not heads:
                del self._heads[place]

    def _add(self, place: Place, part: int, id: bytes) -> None:
        self._parts[place] = part
        self.waiting.setdefault(place, set()).add(id)

    def _drop(self, place: Place, id: bytes) -> None:
        ids = self.waiting.get(place)
        if ids is not None:
            ids.discard(id)
            if not ids:
                del self.waiting[place]
                self._parts.pop(place, None)

    def _forget(self, place: Place) -> None:
        for known in (self.waiting, self._parts, self._heads, self._dead):
            known.pop(place, None)
        self._freed.pop(place, None)
