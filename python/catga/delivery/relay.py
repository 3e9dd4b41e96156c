"""The relay: what commits have put into the outbox goes to a transport that is not the store itself."""

import asyncio
import logging
from collections.abc import Sequence

from catga.clock import Bell, Clock
from catga.errors import StoreError, TransportError
from catga.ports.messages import PARTS, Lease, Outgoing
from catga.ports.store import Store
from catga.ports.transport import Sent, Transport

log: logging.Logger = logging.getLogger("catga.relay")

SCOPE = "@relay"
MOST = 500
"""Rows in one publication."""


class Relay:
    """Leases parts of the outbox from the other instances; publishes each part's rows in their order, and removes a row
    once the transport has accepted it. Dying in between sends it again: the inbox knows it by its id."""

    def __init__(self, store: Store, transport: Transport, clock: Clock, owner: str) -> None:
        self._store = store
        self._transport = transport
        self._clock = clock
        self._owner = owner
        self._leases: Sequence[Lease] = ()
        self._bell = Bell(clock)
        self._renewed = float("-inf")
        self._first = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to publish."""
        self._task = asyncio.create_task(self._work(), name="catga-relay")

    def nudge(self) -> None:
        """Something was committed."""
        self._bell.ring()

    async def stop(self) -> None:
        """Publishes no more; its parts go to the others."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        try:
            await self._store.release(SCOPE, self._owner, self._leases, leave=True)
        except StoreError as error:
            log.warning("the relay could not give back its parts: the others have them when its leases end: %s", error)

    async def _work(self) -> None:
        while True:
            busy = False
            try:
                if self._clock.monotonic() - self._renewed > self._store.lease / 3:
                    await self._renew()
                now = self._clock.monotonic()
                busy = await self._publish([lease for lease in self._leases if lease.valid_until > now])
            except Exception as error:
                known = isinstance(error, (StoreError, TransportError))
                # Whatever it was: a relay that ended would hold up everything, and nobody would be told.
                log.warning("the relay cannot go on now: %s", error, exc_info=not known)
                await self._bell.wait(0.5)
            if not busy:
                await self._bell.wait(0.05)

    async def _renew(self) -> None:
        before = self._clock.monotonic()
        share = await self._store.claim(SCOPE, self._owner, PARTS, self._store.lease)
        self._renewed = before
        spare = sorted(share.leases, key=lambda lease: -lease.part)[: share.surplus]
        if spare:
            await self._store.release(SCOPE, self._owner, spare)
        self._leases = [lease for lease in share.leases if lease not in spare]

    async def _publish(self, leases: Sequence[Lease]) -> bool:
        # Another part is the first every time: one that is always full must not starve the others.
        self._first += 1
        begin = self._first % max(1, len(leases))
        rows = await self._store.outbox([*leases[begin:], *leases[:begin]], MOST)
        if not rows:
            return False
        sent = await self._transport.publish(rows)
        accepted = [row for row, outcome in zip(rows, sent, strict=True) if outcome is Sent.ACCEPTED]
        if accepted:
            parts = {row.part for row in accepted}
            if await self._store.sent([lease for lease in leases if lease.part in parts], accepted):
                self._renewed = float("-inf")
        self._report(rows, sent)
        return len(accepted) == MOST

    def _report(self, rows: Sequence[Outgoing], sent: Sequence[Sent]) -> None:
        refused = [row.id.hex() for row, outcome in zip(rows, sent, strict=True) if outcome is Sent.REJECTED]
        if refused:
            log.error(
                "the transport refused %d messages; they stay in the outbox: %s", len(refused), ", ".join(refused[:5])
            )
