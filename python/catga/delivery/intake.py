"""The way in: deliveries become works; those that were handled before are only settled."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from catga.delivery.commits import Commits
from catga.delivery.failures import outside_window
from catga.delivery.hand import Hand
from catga.delivery.means import Means
from catga.delivery.suspicion import Suspicion
from catga.delivery.work import Arrival, Target, Work
from catga.envelope import DAY_MS, RETURNING, Claimed, Decoded
from catga.messages import Message
from catga.ports.messages import Delivery, Lease

UNREAD: Final = Message()
"""Stands in a work for a message whose payload cannot be had: no handler sees it."""


class Intake:
    """Takes lists: one decoding, one look-up where any is needed, one entry into the lanes."""

    def __init__(
        self, means: Means, hand: Hand, commits: Commits, targets: Mapping[type[Any], Sequence[Target]]
    ) -> None:
        self._means = means
        self._hand = hand
        self._commits = commits
        self._targets = targets
        self.suspicion: Suspicion = Suspicion()

    async def take(self, deliveries: Sequence[Delivery], condemned: Exception | None = None) -> None:
        """Puts them into the lanes; where they are `condemned`, into the dead letters."""
        decoded = await self._received(deliveries)
        await self.learn({delivery.part: delivery.lease for delivery in deliveries if delivery.lease is not None})
        known = await self._known(deliveries, decoded)
        if self._hand.closed:
            # Something before these was given up meanwhile: they come again, behind it.
            return
        oldest = (self._means.clock.wall_ms() // DAY_MS - self._means.window_days) * DAY_MS
        works: list[Work] = []
        done: list[Delivery] = []
        again = 0
        for delivery, item in zip(deliveries, decoded, strict=True):
            missing: Exception | None = None
            if isinstance(item, tuple):
                message, envelope = item
                cls = message.__class__
            elif isinstance(item, Claimed):
                message, envelope, cls, missing = UNREAD, item.envelope, item.cls, item.error
            else:
                self._commits.bury(delivery, item)
                continue
            targets = self._targets.get(cls, ())
            before = len(targets)
            if known:
                targets = [target for target in targets if (target.id, envelope.id) not in known]
                again += before - len(targets)
            if not targets:
                done.append(delivery)
                continue
            if delivery.inherited and self.suspicion.falls_on(delivery):
                self.suspicion.suspect(delivery)
                again += 1
            self._hand.open += 1
            arrival = Arrival(delivery, len(targets), len(targets) < before)
            key = envelope.key
            error = missing or condemned if envelope.due_ms >= oldest else outside_window(envelope)
            for target in targets:
                lane = None if key is None else target.lane + key
                work = Work(target, message, envelope, delivery.part, delivery.lease, delivery.frame, lane, arrival)
                if error is None:
                    works.append(work)
                else:
                    self._commits.fail(work, error)
        self._means.recorder.redelivered(again)
        self._hand.put(works)
        self._settle(done)

    async def without_known(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Those that have something left to do; the others are settled."""
        decoded = await self._received(deliveries)
        known = await self._known(deliveries, decoded)
        left: list[Delivery] = []
        done: list[Delivery] = []
        for delivery, item in zip(deliveries, decoded, strict=True):
            over = False
            if isinstance(item, (tuple, Claimed)):
                cls, envelope = (item.cls, item.envelope) if isinstance(item, Claimed) else (item[0].__class__, item[1])
                over = all((target.id, envelope.id) in known for target in self._targets.get(cls, ()))
            (done if over else left).append(delivery)
        self._means.recorder.redelivered(len(done))
        self._settle(done)
        return left

    async def _received(self, deliveries: Sequence[Delivery]) -> Sequence[Decoded]:
        frames = [delivery.frame for delivery in deliveries]
        decoded = self._means.codec.receive(frames, self._means.clock.wall_ms())
        return decoded if self._means.claims is None else await self._means.claims.redeem(decoded)

    def give_up(self, work: Work, error: Exception) -> None:
        """There is nothing to give to its handler."""
        self._commits.fail(work, error)

    def _settle(self, done: Sequence[Delivery]) -> None:
        if done:
            self._hand.open += len(done)
            self._commits.settle_soon(done)

    async def learn(self, leases: Mapping[int, Lease]) -> None:
        """Before anything of these parts runs."""
        await self._hand.blocked.learn(leases, lambda parts: self._means.store.waiting(self._means.channel, parts))

    async def _known(self, deliveries: Sequence[Delivery], decoded: Sequence[Decoded]) -> set[tuple[str, bytes]]:
        wanted: dict[tuple[int, str], list[bytes]] = {}
        for delivery, item in zip(deliveries, decoded, strict=True):
            # What came in with a commit of this store, under our lease and an id of our own making, has no mark.
            if isinstance(item, tuple):
                cls, envelope = item[0].__class__, item[1]
            elif isinstance(item, Claimed):
                cls, envelope = item.cls, item.envelope
            else:
                continue
            if not (delivery.first and self._means.colocated and not envelope.flags & RETURNING):
                for target in self._targets.get(cls, ()):
                    wanted.setdefault((envelope.day, target.id), []).append(envelope.id)
        return await self._means.store.known(wanted) if wanted else set()
