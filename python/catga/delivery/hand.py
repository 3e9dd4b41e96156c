"""What an instance has in hand of one channel: taken in, not ended, bounded."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from catga import _core
from catga.clock import Bell, Clock
from catga.delivery.blocked import Blocked
from catga.delivery.work import Work

if TYPE_CHECKING:
    from catga.delivery.batches import BatchLane

CREDIT = 1024
"""Messages taken in and not ended yet."""


class Hand:
    """Shared by those who take in, run, commit and retry; all of them live in one loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.open: int = 0
        self.lanes: _core.Lanes[Work] = _core.Lanes(CREDIT * 16)
        self.again: deque[Work] = deque()
        """To be run before all others: their keys wait for them."""
        self.batches: dict[str, BatchLane] = {}
        self.blocked: Blocked = Blocked()
        self.retrying: dict[tuple[str, bytes], int] = {}
        """Parked rows that were taken up, and the epoch of the lease under which they were."""
        self.ready: asyncio.Event = asyncio.Event()
        self.room: asyncio.Event = asyncio.Event()
        self.bell: Bell = Bell(clock)
        """Rings when something was parked, or freed what is."""
        self.stopping: bool = False
        self.rewind: bool = False
        """What is out must be received again, in order, once nothing is open: some of it was given up."""

    @property
    def closed(self) -> bool:
        """Nothing may be taken in: what stands before it was given up, to be received again here or elsewhere."""
        return self.rewind or self.stopping

    def put(self, works: Sequence[Work]) -> None:
        """To be run, each when its key is free."""
        lists: dict[str, list[Work]] = {}
        single: list[Work] = []
        for work in works:
            if (id := work.target.id) in self.batches:
                lists.setdefault(id, []).append(work)
            else:
                single.append(work)
        for id, listed in lists.items():
            self.batches[id].add(listed)
        if single:
            priorities = bytes([work.envelope.priority for work in single])
            self.lanes.put_many(single, [work.lane for work in single], priorities, self._clock.wall_ms())
            self.ready.set()

    def run_again(self, work: Work) -> None:
        """At once, in its place before the others of its key."""
        self.again.append(work)
        self.ready.set()

    def take_up(self, work: Work) -> None:
        """A parked row, whose key's followers come behind it. One that is in hand under a lease that was superseded will not be
        committed: it comes again, or they would overtake it."""
        self.retrying[work.name] = epoch_of(work)
        self.open += 1

    def put_down(self, work: Work) -> None:
        """Its end; it may have been taken up again meanwhile."""
        if self.retrying.get(work.name) == epoch_of(work):
            del self.retrying[work.name]

    def ended(self, count: int) -> None:
        """So many are no longer open."""
        self.open -= count
        self.room.set()
        if self.stopping:
            self.bell.ring()

    def drop(self, works: Sequence[Work]) -> None:
        """Given back uncounted: stopping, a lost lease, or a commit whose outcome is unknown."""
        ended = 0
        for work in works:
            if work.lane is not None and self.lanes.done(work.lane):
                self.ready.set()
            if work.arrival is None:
                self.put_down(work)
                self.blocked.free([work.place])
                ended += 1
            else:
                work.arrival.left -= 1
                ended += work.arrival.left == 0
        self.ended(ended)

    def drop_queued(self, *more: Work) -> None:
        """All that has not begun, and `more`."""
        again = list(self.again)
        self.again.clear()
        self.drop(
            [*again, *self.lanes.clear(), *(work for lane in self.batches.values() for work in lane.clear()), *more]
        )

    def give_up(self, works: Sequence[Work]) -> None:
        """Begun, and not known to have ended: received again, in order, with all that waits behind and would overtake them."""
        self.rewind = self.rewind or not self.stopping
        self.drop_queued(*works)

    def hurry(self) -> None:
        """Lists that wait for company hold what others need: they are closed now."""
        for lane in self.batches.values():
            lane.hurry()

    async def empty(self) -> None:
        """Waits until nothing is open, or the instance stops."""
        while self.open and not self.stopping:
            self.room.clear()
            await self.room.wait()


def epoch_of(work: Work) -> int:
    """Of the lease that its commit is fenced by; 0 where parts are not leased."""
    return 0 if work.lease is None else work.lease.epoch
