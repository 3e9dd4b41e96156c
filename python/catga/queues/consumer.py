"""`LeasedConsumer`: one instance's subscription to a channel; competes for its parts, reads each in order."""

import asyncio
import logging
from collections.abc import Sequence

from catga.clock import Clock, sleep
from catga.ports.messages import PARTS, Delivery, Lease
from catga.ports.store import Store
from catga.ports.transport import Settle, Settled
from catga.queues.rows import WINDOW, Row, Rows

log: logging.Logger = logging.getLogger("catga.queues")

SHARE = 64
"""Rows read from one part at once, where so many are wanted: one question for all of them."""


class Held:
    """A part that this instance works."""

    __slots__ = ("lease", "out", "read", "since", "suspects", "wanted")

    def __init__(self, lease: Lease, since: int, suspects: frozenset[int]) -> None:
        self.lease: Lease = lease
        self.read: int = 0
        """The place behind which nothing was read in order yet."""
        self.since: int = since
        """The place behind which no row was handed out before, by nobody."""
        self.suspects: frozenset[int] = suspects
        """What its crashed holders may have had out."""
        self.out: int = 0
        self.wanted: bool = False
        """Another instance is short of parts: this one is worked off and given back."""


class LeasedConsumer:
    """Reads the parts it holds a lease on; unkeyed urgent messages before the rest."""

    def __init__(self, store: Store, rows: Rows, clock: Clock, channel: str, owner: str, ttl: float) -> None:
        self._store = store
        self._rows = rows
        self._clock = clock
        self._channel = channel
        self._owner = owner
        self._ttl = ttl
        self._held: dict[int, Held] = {}
        self._out: dict[int, tuple[Held, int]] = {}
        """By token, with the place. A part that was lost takes its own along: what is settled of it later counts for nothing."""
        self._express: set[int] = set()
        """Tokens that are out and were urgent."""
        self._next = 0
        self._keeper: asyncio.Task[None] | None = None
        self._renewing = asyncio.Lock()
        self._stopped = False

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

    async def receive(self, most: int, wait: float) -> Sequence[Delivery]:
        """See the port."""
        until = self._clock.monotonic() + wait
        while not self._stopped:
            version = self._rows.version()
            if found := await self._look(most):
                return found
            if (left := until - self._clock.monotonic()) <= 0:
                break
            await self._rows.changed(version, left)
        return []

    def settled(self, tokens: Sequence[int]) -> None:
        """See the port."""
        full = False
        for token in tokens:
            found = self._out.pop(token, None)
            if found is not None:
                held = found[0]
                full = full or held.out >= WINDOW
                held.out -= 1
        self._express.difference_update(tokens)
        if full:
            self._rows.wake()

    async def settle(self, items: Sequence[tuple[int, Settle]]) -> Sequence[Settled]:
        """Each under the lease it was received with; one that was superseded changes nothing."""
        ours = [
            (token, self._out[token][0].lease, how is not Settle.RELEASE) for token, how in items if token in self._out
        ]
        fresh = dict(zip((token for token, _, _ in ours), await self._rows.end(ours), strict=True))
        for token, how in items:
            if how is Settle.RELEASE and fresh.get(token) and token not in self._express and token in self._out:
                held, place = self._out[token]
                held.read = min(held.read, place - 1)
                held.since = max(held.since, place)
        self.settled([token for token, is_fresh in fresh.items() if is_fresh])
        if any(how is Settle.RELEASE for _, how in items):
            self._rows.wake()
        return [Settled.OK if fresh.get(token) else Settled.STALE for token, _ in items]

    def rewind(self) -> None:
        """See the port. A suspect stays one."""
        self._out.clear()
        self._express.clear()
        for held in self._held.values():
            held.since = max(held.since, held.read)
            held.read = held.out = 0
        self._rows.wake()

    async def alone(self, delivery: Delivery) -> int:
        """See the port."""
        held = self._held.get(delivery.part)
        return 0 if held is None else await self._rows.alone(held.lease, int(delivery.token))

    async def stop(self) -> None:
        """Gives back every part; what is still out is read again by its next holder."""
        self._stopped = True
        self._rows.wake()
        if self._keeper is not None:
            # A claim under way ends first: what it takes would stay behind, held by nobody.
            async with self._renewing:
                self._keeper.cancel()
            await asyncio.wait([self._keeper])
        leases = [held.lease for held in self._held.values()]
        self._held.clear()
        await self._store.release(self._channel, self._owner, leases, leave=True)

    # -- reading ------------------------------------------------------------------------------------------------------

    async def _look(self, most: int) -> list[Delivery]:
        parts = self.parts()
        if not parts:
            return []
        # Half of it at most: who is urgent goes first, and the others are not starved.
        found = await self._urgent(parts, max(1, most // 2))
        begin = self._next % len(parts)
        for part in (*parts[begin:], *parts[:begin]):
            if len(found) >= most:
                break
            # Fair between parts: each gives its share, and the next one begins next time.
            self._next += 1
            held = self._held.get(part)
            if held is not None and (room := min(SHARE, WINDOW - held.out, most - len(found))) > 0:
                found += await self._ordered(held, room)
        return found

    async def _urgent(self, parts: Sequence[int], most: int) -> list[Delivery]:
        found: list[Delivery] = []
        for row in await self._rows.urgent(parts, most + len(self._express)):
            held = self._held.get(row[0])
            if row[1] not in self._out and held is not None and held.out < WINDOW and len(found) < most:
                self._express.add(row[1])
                found.append(self._hand_out(held, row, False))
        return found

    async def _ordered(self, held: Held, room: int) -> list[Delivery]:
        found: list[Delivery] = []
        while len(found) < room:
            part, after, wanted = held.lease.part, held.read, room - len(found)
            rows = await self._rows.ordered(part, after, wanted)
            if not rows or self._held.get(part) is not held:
                break
            if held.read != after:
                continue  # one was given back meanwhile
            # Behind one that was given back stand some that may still be out.
            found += [self._hand_out(held, row, row[2] > held.since) for row in rows if row[1] not in self._out]
            held.read = rows[-1][2]
            if len(rows) < wanted:
                break
        return found

    def _hand_out(self, held: Held, row: Row, first: bool) -> Delivery:
        part, token, place, frame = row
        self._out[token] = (held, place)
        held.out += 1
        if held.suspects and token in held.suspects:
            return Delivery(token, part, frame, held.lease, again=True, suspect=held.lease.crashes > 1)
        return Delivery(token, part, frame, held.lease, first=first)

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

    async def _renew(self) -> None:
        share = await self._store.claim(self._channel, self._owner, PARTS, self._ttl)
        held: dict[int, Held] = {}
        for lease in share.leases:
            known = self._held.get(lease.part)
            if known is None or known.lease.epoch != lease.epoch:
                known = await self._begin(lease)
            known.lease = lease
            known.wanted = False
            held[lease.part] = known
        for part in sorted(held, reverse=True)[: share.surplus]:
            held[part].wanted = True
        for part, lost in self._held.items():
            if held.get(part) is not lost:
                self._forget(lost)
        self._held = held
        await self._clear_crashes()
        if idle := [each.lease for each in held.values() if each.wanted and not each.out]:
            for lease in idle:
                del held[lease.part]
            await self._store.release(self._channel, self._owner, idle)
        self._rows.wake()

    async def _begin(self, lease: Lease) -> Held:
        since = await self._rows.latest(lease.part)
        suspects: frozenset[int] = frozenset()
        if lease.crashes:
            rows = [
                *await self._rows.ordered(lease.part, 0, WINDOW),
                *await self._rows.urgent([lease.part], WINDOW),
            ]
            suspects = frozenset(token for _, token, _, _ in rows)
        return Held(lease, since, suspects)

    def _forget(self, lost: Held) -> None:
        for token in [token for token, (held, _) in self._out.items() if held is lost]:
            del self._out[token]
            self._express.discard(token)

    async def _clear_crashes(self) -> None:
        """Once all that a crash left behind has ended, it no longer counts."""
        crashed = [held for held in self._held.values() if held.lease.crashes]
        ended = [held.lease for held in crashed if not await self._rows.exist(held.suspects)]
        if ended:
            await self._store.clear(ended)
