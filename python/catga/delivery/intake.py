"""The way in: deliveries become works; those that were handled before are only settled."""

from collections.abc import Mapping, Sequence
from typing import Any

from catga.delivery.commits import Commits
from catga.delivery.failures import outside_window
from catga.delivery.hand import Hand
from catga.delivery.means import Means
from catga.delivery.suspicion import Suspicion
from catga.delivery.work import Arrival, Target, Work
from catga.envelope import DAY_MS, RETURNING, Decoded
from catga.ports.messages import Delivery, Lease


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
        decoded = self._received(deliveries)
        await self.learn({delivery.part: delivery.lease for delivery in deliveries if delivery.lease is not None})
        known = await self._known(deliveries, decoded)
        oldest = (self._means.clock.wall_ms() // DAY_MS - self._means.window_days) * DAY_MS
        works: list[Work] = []
        done: list[Delivery] = []
        again = 0
        for delivery, item in zip(deliveries, decoded, strict=True):
            if isinstance(item, Exception):
                self._commits.bury(delivery, item)
                continue
            message, envelope = item
            targets = self._targets.get(message.__class__, ())
            if known:
                fresh = [target for target in targets if (target.id, envelope.id) not in known]
                again += len(targets) - len(fresh)
                targets = fresh
            if not targets:
                done.append(delivery)
                continue
            if delivery.inherited and self.suspicion.falls_on(delivery):
                self.suspicion.suspect(delivery)
                again += 1
            self._hand.open += 1
            arrival = Arrival(delivery, len(targets))
            key = envelope.key
            error = condemned if envelope.due_ms >= oldest else outside_window(envelope)
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
        decoded = self._received(deliveries)
        known = await self._known(deliveries, decoded)
        left: list[Delivery] = []
        done: list[Delivery] = []
        for delivery, item in zip(deliveries, decoded, strict=True):
            over = isinstance(item, tuple) and all(
                (target.id, item[1].id) in known for target in self._targets.get(item[0].__class__, ())
            )
            (done if over else left).append(delivery)
        self._means.recorder.redelivered(len(done))
        self._settle(done)
        return left

    def _received(self, deliveries: Sequence[Delivery]) -> Sequence[Decoded]:
        return self._means.codec.receive([delivery.frame for delivery in deliveries], self._means.clock.wall_ms())

    def _settle(self, done: Sequence[Delivery]) -> None:
        if done:
            self._hand.open += len(done)
            self._commits.settle_soon(done)

    async def learn(self, leases: Mapping[int, Lease]) -> None:
        """Before anything of a part runs that was taken over, what is parked in it must be known: it comes first."""
        blocked = self._hand.blocked
        if fresh := blocked.unknown(leases.values()):
            blocked.load([leases[part] for part in fresh], await self._means.store.waiting(self._means.channel, fresh))

    async def _known(self, deliveries: Sequence[Delivery], decoded: Sequence[Decoded]) -> set[tuple[str, bytes]]:
        wanted: dict[tuple[int, str], list[bytes]] = {}
        for delivery, item in zip(deliveries, decoded, strict=True):
            # What came in with a commit of this store, under our lease and an id of our own making, has no mark.
            if isinstance(item, tuple) and not (
                delivery.first and self._means.colocated and not item[1].flags & RETURNING
            ):
                message, envelope = item
                for target in self._targets.get(message.__class__, ()):
                    wanted.setdefault((envelope.day, target.id), []).append(envelope.id)
        return await self._means.store.known(wanted) if wanted else set()
