"""One channel's work in this process: receive, look up, rank, run, commit, settle; lists all the way."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from catga.clock import Bell
from catga.delivery.batches import BatchLane
from catga.delivery.commits import Commits
from catga.delivery.hand import CREDIT, Hand
from catga.delivery.intake import Intake
from catga.delivery.means import Means
from catga.delivery.retries import Retries
from catga.delivery.work import Target
from catga.delivery.workers import Workers
from catga.errors import Poison, StoreError, TransportError
from catga.ports.messages import Delivery

log: logging.Logger = logging.getLogger("catga.delivery")

AT_ONCE = 256
"""Messages taken in by one step of the loop: whoever waits for the write lock may wait for such a step to end."""
POISON = 3
"""Times a process may end while it works on one message alone."""
PATIENCE = 0.5
"""Seconds before a store that did not answer is asked again."""


class Channel:
    """Competes with the same channel of other instances for its parts."""

    def __init__(self, means: Means, targets: Mapping[type[Any], Sequence[Target]], concurrency: int) -> None:
        self.name: str = means.channel
        self._clock = means.clock
        self._consumer = means.consumer
        self._store = means.store
        self._concurrency = concurrency
        self._patience = Bell(means.clock)
        by_id = {target.id: target for group in targets.values() for target in group}
        self._hand = Hand(means.clock)
        self._commits = Commits(means, self._hand)
        self._intake = Intake(means, self._hand, self._commits, targets)
        self._retries = Retries(means, self._hand, self._intake, by_id)
        self._workers = Workers(means, self._hand, self._commits)
        for id, target in by_id.items():
            if (batch := target.handler.batch) is not None:
                self._hand.batches[id] = BatchLane(means, self._hand, self._commits, target, batch)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to take work."""
        loops = [
            self._receive(),
            self._commits.work(),
            self._retries.work(),
            *(lane.work() for lane in self._hand.batches.values()),
            *(self._workers.work() for _ in range(self._concurrency)),
        ]
        self._tasks = [asyncio.create_task(loop, name=f"catga-{self.name}-{n}") for n, loop in enumerate(loops)]

    async def stop(self, deadline: float) -> None:
        """Takes no more, ends what runs or gives it back, until `deadline` (monotonic seconds)."""
        hand = self._hand
        hand.stopping = True
        hand.room.set()
        hand.bell.ring()
        hand.drop_queued()
        while hand.open and (left := deadline - self._clock.monotonic()) > 0:
            await hand.bell.wait(min(left, 0.05))
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._commits.stop()
        await self._consumer.stop()

    def nudge(self) -> None:
        """Something was parked: it may be due before the next look."""
        self._hand.bell.ring()

    @property
    def open(self) -> int:
        """Messages taken in and not ended."""
        return self._hand.open

    def statistics(self) -> dict[str, int]:
        """Messages taken in and not ended, and how many of them wait to run."""
        return {"open": self._hand.open, "queued": len(self._hand.lanes)}

    async def _receive(self) -> None:
        hand = self._hand
        while not hand.stopping:
            room = CREDIT - hand.open
            if room < CREDIT // 4 or (hand.rewind and hand.open):
                hand.hurry()
                hand.room.clear()
                await hand.room.wait()
                continue
            if hand.rewind:
                hand.rewind = False
                self._consumer.rewind()
            try:
                deliveries = await self._consumer.receive(min(room, AT_ONCE), 1.0)
                if hand.stopping:
                    break
                if hand.batches and self._consumer.congested():
                    hand.hurry()
                await self._take(deliveries)
                if closed := self._intake.suspicion.closed(self._consumer.left):
                    await self._store.clear(closed)
            except Exception as error:
                # What was handed out and not taken in is received again, with what came behind it.
                hand.rewind = True
                log.warning(
                    "channel %s cannot receive: %s",
                    self.name,
                    error,
                    exc_info=not isinstance(error, (StoreError, TransportError)),
                )
                await self._patience.wait(PATIENCE)

    async def _take(self, deliveries: Sequence[Delivery]) -> None:
        suspicion = self._intake.suspicion
        fresh: list[Delivery] = []
        suspects: list[Delivery] = []
        for delivery in deliveries:
            alone = delivery.lease is not None and delivery.lease.crashes > 1 and suspicion.falls_on(delivery)
            (suspects if alone else fresh).append(delivery)
        # Suspects first: they are the oldest of their parts, and nothing of their keys may pass them.
        for delivery in await self._intake.without_known(suspects) if suspects else ():
            await self._take_alone(delivery)
        if fresh and not self._hand.closed:
            await self._intake.take(fresh)

    async def _take_alone(self, delivery: Delivery) -> None:
        """After two crashes: one by one, so that the one that kills the process is known from its neighbours."""
        self._retries.paused = True
        try:
            await self._hand.empty()
            if self._hand.closed or delivery.lease is None:
                return
            claims = await self._store.alone(delivery.lease, delivery.token)
            if claims < POISON:
                await self._intake.take([delivery])
                self._hand.hurry()
            else:
                error = Poison(
                    "the process ended each time it worked on this message alone",
                    where=f"channel {self.name}",
                    why=f"{claims} claims ended without a word",
                    fix="mend the handler, then `catga dlq replay`",
                )
                await self._intake.take([delivery], error)
            await self._hand.empty()
        finally:
            self._retries.paused = False
