"""`LeasedConsumer`: one instance's subscription to a channel; competes for its parts, reads each in order."""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from catga.clock import Clock, sleep
from catga.errors import StoreError, TransportError
from catga.ports.messages import PARTS, WINDOW, Delivery, Lease
from catga.ports.store import Store
from catga.ports.transport import Settle, Settled
from catga.queues.held import Held, Track
from catga.queues.rows import Restarted, Row, Rows, Want

log: logging.Logger = logging.getLogger("catga.queues")

SAVE = 1.0
"""Seconds between two savings of how far a log has been worked: what was done since is looked up again after a crash."""
SAVE_IDLE = 0.1
"""The same, when nothing is out: whoever waits for the end of the work learns of it."""
SHARE = 64
"""Rows read from one part at once, where so many are wanted: one question for all of them."""


class LeasedConsumer:
    """Reads the parts it holds a lease on; unkeyed urgent messages before the rest. `leases` is the app's own store."""

    def __init__(self, leases: Store, rows: Rows, clock: Clock, channel: str, owner: str, ttl: float) -> None:
        self._leases = leases
        self._rows = rows
        self._clock = clock
        self._channel = channel
        self._owner = owner
        self._ttl = ttl
        self._held: dict[int, Held] = {}
        self._tokens: dict[int, tuple[Held, Track]] = {}
        """What has been read and has not ended. A part that was lost takes its own along: what is settled of it later counts
        for nothing."""
        self._next = 0
        self._keeper: asyncio.Task[None] | None = None
        self._renewing = asyncio.Lock()
        self._unsure = False
        """Something may still be committed under the present epochs, by a server whose answer was not waited for."""
        self._stopped = False
        self._saved = clock.monotonic()

    async def start(self) -> None:
        """Claims a first share and keeps renewing it."""
        await self._renew()
        self._keeper = asyncio.create_task(self._keep(), name=f"catga-leases-{self._channel}")

    def parts(self) -> Sequence[int]:
        """Held, and not about to be given to another instance."""
        now = self._clock.monotonic()
        return [part for part, held in self._held.items() if not held.wanted and held.lease.valid_until > now]

    def congested(self) -> bool:
        """See the port."""
        return any(held.out >= WINDOW for held in self._held.values())

    def lease_of(self, part: int) -> Lease | None:
        """What a commit of this part's work is fenced by."""
        held = self._held.get(part)
        return None if held is None else held.lease

    def left(self, part: int, tokens: Collection[Any]) -> bool:
        """See the port."""
        held = self._held.get(part)
        if held is None or not held.reached:
            return True
        return any(token in self._tokens for token in tokens)

    async def receive(self, most: int, wait: float) -> Sequence[Delivery]:
        """See the port."""
        until = self._clock.monotonic() + wait
        while not self._stopped:
            if self._unsure:
                await self._fence()
            if self._clock.monotonic() >= self._saved + self._pause():
                await self._save(list(self._held.values()))
            version = self._rows.version()
            try:
                if found := await self._look(most):
                    return found
            except Restarted:
                await self._let_go()
                continue
            if (left := until - self._clock.monotonic()) <= 0:
                break
            await self._rows.changed(version, min(left, self._pause()))
        return []

    def settled(self, tokens: Sequence[int]) -> None:
        """See the port."""
        full = self.congested()
        for token in tokens:
            found = self._tokens.pop(token, None)
            if found is not None:
                held, track = found
                track.out.discard(token)
                del track.rows[token]
                held.ended = True
        if full:
            self._rows.wake()

    async def settle(self, items: Sequence[tuple[int, Settle]]) -> Sequence[Settled]:
        """Each under the lease it was received with; one that was superseded changes nothing in the queue. Here all have ended:
        a lease may have lapsed and be renewed, and what were out for ever would fill its part's window."""
        ended = [
            (token, found[0].lease)
            for token, how in items
            if how is not Settle.RELEASE and (found := self._tokens.get(token)) is not None
        ]
        fresh = dict(zip((token for token, _ in ended), await self._rows.end(ended), strict=True))
        outcomes: list[Settled] = []
        for token, how in items:
            if how is Settle.RELEASE:
                found = self._tokens.get(token)
                if found is not None:
                    found[1].out.discard(token)
                outcomes.append(Settled.STALE if found is None else Settled.OK)
            else:
                outcomes.append(Settled.OK if fresh.get(token) else Settled.STALE)
        self.settled(list(fresh))
        if any(how is Settle.RELEASE for _, how in items):
            self._rows.wake()
        return outcomes

    def rewind(self) -> None:
        """See the port."""
        for held in self._held.values():
            held.give_back()
        self._unsure = True
        self._rows.wake()

    async def stop(self) -> None:
        """Gives back every part; what is still out is read again by its next holder."""
        self._stopped = True
        self._rows.wake()
        if self._keeper is not None:
            # A claim under way ends first: what it takes would stay behind, held by nobody.
            async with self._renewing:
                self._keeper.cancel()
            await asyncio.wait([self._keeper])
        held = list(self._held.values())
        try:
            await self._save(held)
            await self._leases.release(self._channel, self._owner, [each.lease for each in held], leave=True)
        except (StoreError, TransportError) as error:
            log.warning(
                "channel %s could not give back its parts: the others have them when its leases end: %s",
                self._channel,
                error,
            )
        self._held.clear()
        self._tokens.clear()
        await self._rows.close()

    # -- reading ------------------------------------------------------------------------------------------------------

    async def _look(self, most: int) -> list[Delivery]:
        parts = self.parts()
        if not parts:
            return []
        found = self._given_back(parts, most)
        if len(found) >= most:
            return found
        before = dict(self._held)
        left = most - len(found)
        rows, ended = await self._rows.read(self._wants(parts, left), left, self._known_urgent())
        self._next += len({row[0] for row in rows}) or 1
        for (part, urgent), ours in groupby(rows, itemgetter(0, 1)):
            held = self._held.get(part)
            # Of a part that was lost meanwhile, and perhaps claimed again, another reading has begun.
            if held is not None and held is before[part]:
                found += self._hand_out(held, urgent, list(ours))
        for part, urgent in ended:
            if (now := self._held.get(part)) is not None and now is before[part]:
                now.track(urgent).reached = True
        return found

    def _given_back(self, parts: Sequence[int], most: int) -> list[Delivery]:
        found: list[Delivery] = []
        for urgent in (True, False):
            for part in parts:
                held = self._held[part]
                room = max(0, min(WINDOW - held.out, most - len(found)))
                found += self._hand_out(held, urgent, list(islice(held.track(urgent).given_back(), room)))
        return found

    def _wants(self, parts: Sequence[int], most: int) -> list[Want]:
        # Half of it at most: who is urgent goes first, and the others are not starved. Fair between parts: each gives its
        # share, and the next one begins next time.
        begin = self._next % len(parts)
        order = (*parts[begin:], *parts[:begin])
        rooms = {part: min(SHARE, WINDOW - self._held[part].out) for part in order}
        urgent = max(1, most // 2 // len(parts))
        wants = [(part, True, min(urgent, rooms[part])) for part in order if rooms[part] > 0]
        return wants + [(part, False, rooms[part]) for part in order if rooms[part] > 0]

    def _known_urgent(self) -> set[int]:
        return {token for held in self._held.values() for token in held.urgent.rows}

    def _hand_out(self, held: Held, urgent: bool, rows: Sequence[Row]) -> list[Delivery]:
        track = held.track(urgent)
        place = (held, track)
        for row in rows:
            self._tokens[row[2]] = place
        return held.hand_out(track, rows)

    # -- leases -------------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            await sleep(self._clock, self._ttl / 3)
            try:
                async with self._renewing:
                    await self._renew()
            except Exception as error:
                # Not renewed is not lost yet: validity runs out by itself, and the next try may succeed.
                log.warning("channel %s: its leases were not renewed: %s", self._channel, error)

    async def _renew(self, anew: bool = False) -> None:
        share = await self._leases.claim(self._channel, self._owner, PARTS, self._ttl, anew=anew)
        fresh = [lease for lease in share.leases if self._new(lease, share.before)]
        begun = dict(zip((lease.part for lease in fresh), await self._rows.begin(fresh) if fresh else (), strict=True))
        held: dict[int, Held] = {}
        for lease in share.leases:
            known = Held(lease, begun[lease.part]) if lease.part in begun else self._held[lease.part]
            known.lease = lease
            known.wanted = False
            held[lease.part] = known
        for part in sorted(held, reverse=True)[: share.surplus]:
            held[part].wanted = True
        for part, lost in self._held.items():
            if held.get(part) is not lost:
                self._forget(lost)
        self._held = held
        if idle := [each for each in held.values() if each.wanted and not each.out]:
            await self._save(idle)
            for each in idle:
                self._forget(each)
                del held[each.lease.part]
            await self._leases.release(self._channel, self._owner, [each.lease for each in idle])
        self._rows.wake()

    async def _fence(self) -> None:
        """The same parts under the next epochs: what was committed under the old ones is visible now, and no more will be."""
        async with self._renewing:
            await self._renew(anew=True)
        self._unsure = False

    async def _let_go(self) -> None:
        """Before the next look its parts are claimed under new epochs, also where a renewal or a failed claim comes between:
        what is out of the old ones is not committed beside what is read again."""
        async with self._renewing:
            for held in self._held.values():
                self._forget(held)
            self._held = {}
            self._unsure = True

    def _pause(self) -> float:
        """Seconds between two savings."""
        held = self._held.values()
        return SAVE_IDLE if any(each.ended for each in held) and not any(each.out for each in held) else SAVE

    async def _save(self, held: Sequence[Held]) -> None:
        moved = [each for each in held if each.ended]
        for each in moved:
            # Before the await: what ends meanwhile is not in it.
            each.ended = False
        self._saved = self._clock.monotonic()
        if not moved:
            return
        leases = [each.lease for each in moved]
        try:
            said = await self._rows.positions(
                [(each.lease.part, each.ordered.oldest, each.urgent.oldest) for each in moved]
            )
            kept = [(lease, position) for lease, position in zip(leases, said, strict=True) if position is not None]
            if kept:
                await self._leases.advance(self._owner, kept)
        except BaseException:
            for each in moved:
                each.ended = True
            raise

    def _new(self, lease: Lease, before: Mapping[int, int]) -> bool:
        known = self._held.get(lease.part)
        return known is None or known.lease.epoch != before.get(lease.part, lease.epoch)

    def _forget(self, lost: Held) -> None:
        for track in (lost.ordered, lost.urgent):
            for token in track.rows:
                self._tokens.pop(token, None)
