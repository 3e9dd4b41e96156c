"""What is parked comes back: retries and schedules whose time has come, followers whose key is free."""

import logging
from collections.abc import Mapping, Sequence

from catga.delivery.blocked import Place
from catga.delivery.hand import CREDIT, Hand
from catga.delivery.intake import UNREAD, Intake
from catga.delivery.means import Means
from catga.delivery.work import Target, Work
from catga.envelope import Claimed, Decoded
from catga.errors import CatgaError
from catga.messages import NORMAL
from catga.ports.messages import Lease, Outgoing
from catga.ports.store import Parked, ParkedState, Unit

log: logging.Logger = logging.getLogger("catga.delivery")

FOLLOWERS = 64
"""Blocked messages of one key that are taken up at once when its head has gone."""
PATIENCE = 1.0
"""Seconds after which the store is looked at again, whatever the bell says: another instance may have parked something."""


class Retries:
    """Reads parked rows of the parts this instance holds."""

    def __init__(self, means: Means, hand: Hand, intake: Intake, targets: Mapping[str, Target]) -> None:
        self._means = means
        self._name = means.channel
        self._clock = means.clock
        self._store = means.store
        self._consumer = means.consumer
        self._hand = hand
        self._intake = intake
        self._targets = targets
        self.paused: bool = False
        """While a suspect runs alone nothing else does."""

    async def work(self) -> None:
        """Look after look until the instance stops."""
        while not self._hand.stopping:
            full = False
            try:
                full = not self.paused and not self._hand.closed and await self._look()
                due = await self._store.next_due()
            except Exception as error:
                known = isinstance(error, CatgaError)
                log.warning("channel %s cannot take up what is parked: %s", self._name, error, exc_info=not known)
                due = None
            now = self._clock.wall_ms()
            # What is due already and was not taken has no handler here, or no part: another instance's business.
            wait = PATIENCE if due is None or due <= now else min(PATIENCE, (due - now) / 1000)
            await self._hand.bell.wait(0.005 if full else max(0.005, wait))

    async def _look(self) -> bool:
        """Takes up what is due; whether there may be more at once."""
        leases = {
            part: lease for part in self._consumer.parts() if (lease := self._consumer.lease_of(part)) is not None
        }
        if not leases:
            return False
        asked: list[Place] = []
        rows: Sequence[tuple[Parked, Decoded]] | None = None
        try:
            rows = await self._read(leases, asked)
        finally:
            if rows is None:
                self._hand.blocked.free(asked)
        if rows is None:
            return False
        await self._take(rows, leases)
        return len(rows) >= CREDIT

    async def _read(self, leases: Mapping[int, Lease], asked: list[Place]) -> Sequence[tuple[Parked, Decoded]] | None:
        """What may go on, none of it in hand; None where something was given up meanwhile, and what waits before these may
        have changed. `asked` is given the keys whose followers were looked for."""
        blocked = self._hand.blocked
        await self._intake.learn(leases)
        # What is in hand now may have ended by the time it is read.
        taken = dict(self._hand.retrying)
        due = await self._store.due(self._name, list(leases), self._clock.wall_ms(), CREDIT)
        heads = [row for row in due if not _among(taken, row, leases)]
        followers = await self._followers(leases, asked, taken)
        # A key that is freed twice is read twice.
        free = list({(row.handler, row.id): row for row in (*heads, *followers)}.values())
        decoded = await self._decoded(free)
        if self._hand.closed or blocked.unknown(leases.values()):
            return None
        return list(zip(free, decoded, strict=True))

    async def _followers(
        self, leases: Mapping[int, Lease], asked: list[Place], taken: Mapping[tuple[str, bytes], int]
    ) -> list[Parked]:
        found: list[Parked] = []
        later: list[Place] = []
        blocked = self._hand.blocked
        blocked.suspect_dead()
        try:
            while len(found) < CREDIT and (freed := blocked.next_freed()) is not None:
                handler, key, part = freed
                if part not in leases:
                    # Its lease may be renewed yet.
                    later.append((handler, key))
                    continue
                asked.append((handler, key))
                if rows := await self._store.followers(self._name, part, handler, key, FOLLOWERS):
                    blocked.went_on(handler, key)
                    # All or none: one that is in hand may have to go back, and would be overtaken. Its end frees the key again.
                    if not (busy := [row for row in rows if _among(taken, row, leases)]):
                        found += rows
                    elif not any(_among(self._hand.retrying, row, leases) for row in busy):
                        later.append((handler, key))
        finally:
            blocked.free(later)
        return found

    async def _take(self, rows: Sequence[tuple[Parked, Decoded]], leases: Mapping[int, Lease]) -> None:
        units: list[Unit] = []
        works: list[Work] = []
        for row, item in rows:
            lease = leases[row.part]
            if row.state is ParkedState.SCHEDULED:
                units.append(Unit(publish=(_outgoing(row, item),), unpark=((row.handler, row.id),), leases=(lease,)))
                continue
            target = self._targets.get(row.handler)
            if target is None or not isinstance(item, (tuple, Claimed)):
                continue
            message, envelope = item if isinstance(item, tuple) else (UNREAD, item.envelope)
            lane = target.lane + row.key if row.key is not None else None
            work = Work(target, message, envelope, row.part, lease, row.frame, lane, None, row)
            self._hand.take_up(work)
            if isinstance(item, Claimed):
                self._intake.give_up(work, item.error)
            else:
                works.append(work)
        self._hand.put(works)
        if units:
            await self._means.committer.submit(units)

    async def _decoded(self, rows: Sequence[Parked]) -> Sequence[Decoded]:
        """Those that are scheduled go on as they are: their large payloads stay where they lie."""
        decoded = self._means.codec.decode([row.frame for row in rows])
        if self._means.claims is None:
            return decoded
        waits = [row.state is ParkedState.SCHEDULED for row in rows]
        fetched = iter(
            await self._means.claims.redeem([item for item, wait in zip(decoded, waits, strict=True) if not wait])
        )
        return [item if wait else next(fetched) for item, wait in zip(decoded, waits, strict=True)]


def _among(taken: Mapping[tuple[str, bytes], int], row: Parked, leases: Mapping[int, Lease]) -> bool:
    """Whether a row was taken up under the lease that stands."""
    return taken.get((row.handler, row.id)) == leases[row.part].epoch


def _outgoing(row: Parked, decoded: Decoded) -> Outgoing:
    """A scheduled message whose time has come, as it was when it was accepted."""
    if isinstance(decoded, Claimed):
        priority = decoded.envelope.priority
    else:
        priority = NORMAL if isinstance(decoded, Exception) else decoded[1].priority
    return Outgoing(row.id, row.channel, row.part, row.key, priority, row.due_ms, row.frame)
