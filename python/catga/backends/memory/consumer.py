"""One instance's subscription to a channel in memory: competes for parts, reads each in order."""

import asyncio
from collections.abc import Sequence

from catga.backends.memory.rows import Row
from catga.backends.memory.store import MemoryStore
from catga.clock import sleep
from catga.errors import CatgaError
from catga.ports.messages import PARTS, Delivery, Lease
from catga.ports.transport import Settle, Settled

WINDOW = 128
"""Deliveries of one part that are out at once. After a crash this many of the part's oldest, and as many of its urgent
ones, are suspects."""


class Held:
    """A part that this instance works."""

    __slots__ = ("lease", "out", "read", "suspects", "wanted")

    def __init__(self, lease: Lease, suspects: dict[int, Row]) -> None:
        self.lease: Lease = lease
        self.suspects: dict[int, Row] = suspects
        """What its crashed holders may have had out."""
        self.read: int = 0
        """The place behind which nothing was read in order yet."""
        self.out: dict[int, Row] = {}
        self.wanted: bool = False
        """Another instance is short of parts: this one is worked off and given back."""

    def past_suspects(self) -> bool:
        """Whether whatever a crash left behind has ended."""
        return all(row.gone for row in self.suspects.values())


class MemoryConsumer:
    """Reads the parts it holds a lease on; unkeyed urgent messages before the rest."""

    def __init__(self, store: MemoryStore, channel: str, owner: str) -> None:
        self._store = store
        self._channel = channel
        self._owner = owner
        self._ttl = store.options.lease
        self._held: dict[int, Held] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._turn = 0
        self._stopped = False

    async def start(self) -> None:
        """Claims a first share and keeps renewing it."""
        await self._renew()
        self._keeper = asyncio.create_task(self._keep(), name=f"catga-leases-{self._channel}")

    def parts(self) -> Sequence[int]:
        """Held, and not about to be given to another instance."""
        now = self._store.clock.monotonic()
        return [part for part, held in self._held.items() if not held.wanted and held.lease.valid_until > now]

    def congested(self) -> bool:
        """See the port."""
        return any(len(held.out) >= WINDOW for held in self._held.values())

    def lease_of(self, part: int) -> Lease | None:
        """What a commit of this part's work is fenced by."""
        held = self._held.get(part)
        return None if held is None else held.lease

    async def receive(self, most: int, wait: float) -> Sequence[Delivery]:
        """See the port."""
        clock = self._store.clock
        until = clock.monotonic() + wait
        while not self._stopped:
            if found := self._look(most):
                return found
            if (left := until - clock.monotonic()) <= 0:
                break
            await self._store.bell.wait(left)
        return []

    def settled(self, tokens: Sequence[int]) -> None:
        """See the port."""
        full = False
        for token in tokens:
            for held in self._held.values():
                if token in held.out:
                    full = full or len(held.out) >= WINDOW
                    del held.out[token]
        if full:
            self._store.bell.ring()

    async def settle(self, items: Sequence[tuple[int, Settle]]) -> Sequence[Settled]:
        """Each under the lease it was received with; one that was superseded changes nothing."""
        outcomes: list[Settled] = []
        for token, how in items:
            held = next((held for held in self._held.values() if token in held.out), None)
            if held is None or not self._store.data.leases.holds(held.lease):
                outcomes.append(Settled.STALE)
                continue
            if how is Settle.RELEASE:
                held.read = min(held.read, held.out[token].place - 1)
            else:
                self._store.data.end(token)
            outcomes.append(Settled.OK)
            self.settled([token])
        if any(how is Settle.RELEASE for _, how in items):
            self._store.bell.ring()
        return outcomes

    def rewind(self) -> None:
        """See the port. A suspect stays one."""
        for held in self._held.values():
            held.out.clear()
            held.read = 0
        self._store.bell.ring()

    async def alone(self, delivery: Delivery) -> int:
        """See the port."""
        held = self._held.get(delivery.part)
        return 0 if held is None else await self._store.alone(held.lease, int(delivery.token))

    async def stop(self) -> None:
        """Gives back every part; what is still out is read again by its next holder."""
        self._stopped = True
        self._store.bell.ring()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        leases = [held.lease for held in self._held.values()]
        self._held.clear()
        await self._store.release(leases, self._owner, leave=True)

    def _look(self, most: int) -> list[Delivery]:
        parts = self.parts()
        if not parts:
            return []
        # Fair between parts: each gives its share, and another one begins next time.
        self._turn += 1
        turn = self._turn % len(parts)
        share = max(1, most // len(parts))
        found: list[Delivery] = []
        for part in (*parts[turn:], *parts[:turn]):
            held = self._held[part]
            room = min(share, WINDOW - len(held.out), most - len(found))
            if room > 0:
                found += self._take(held, room)
        return found

    def _take(self, held: Held, room: int) -> list[Delivery]:
        queue = self._store.data.queue(self._channel, held.lease.part)
        rows: list[Row] = []
        # Half of the room at most: who is urgent goes first, and the others are not starved.
        for row in queue.express(held.read):
            if len(rows) >= max(1, room // 2):
                break
            if row.number not in held.out:
                held.out[row.number] = row
                rows.append(row)
        for row in queue.line.after(held.read):
            if len(rows) >= room:
                break
            held.read = row.place
            if row.number not in held.out:
                held.out[row.number] = row
                rows.append(row)
        return [self._delivery(row, held) for row in rows]

    def _delivery(self, row: Row, held: Held) -> Delivery:
        again = row.number in held.suspects
        return Delivery(
            row.number, held.lease.part, row.message.frame, held.lease, again, again and held.lease.crashes > 1
        )

    async def _keep(self) -> None:
        while True:
            await sleep(self._store.clock, self._ttl / 3)
            try:
                await self._renew()
            except CatgaError:
                # Not renewed is not lost yet: validity runs out by itself, and the next try may succeed.
                continue

    async def _renew(self) -> None:
        share = await self._store.claim(self._channel, self._owner, PARTS, self._ttl)
        held: dict[int, Held] = {}
        for lease in share.leases:
            known = self._held.get(lease.part)
            if known is None or known.lease.epoch != lease.epoch:
                known = Held(lease, self._suspects(lease))
            known.lease = lease
            known.wanted = False
            held[lease.part] = known
        for part in sorted(held, reverse=True)[: share.surplus]:
            held[part].wanted = True
        self._held = held
        if cleared := [each.lease for each in held.values() if each.lease.crashes and each.past_suspects()]:
            await self._store.clear(cleared)
        if idle := [each.lease for each in held.values() if each.wanted and not each.out]:
            for lease in idle:
                del held[lease.part]
            await self._store.release(idle, self._owner)
        self._store.bell.ring()

    def _suspects(self, lease: Lease) -> dict[int, Row]:
        if not lease.crashes:
            return {}
        queue = self._store.data.queue(self._channel, lease.part)
        express = (row for row, _ in zip(queue.express(0), range(WINDOW), strict=False))
        return {row.number: row for row in (*queue.line.first(WINDOW), *express)}
