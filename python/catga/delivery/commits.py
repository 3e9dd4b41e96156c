"""The way out: what handlers have done goes into the next commit, and what follows from it is done here."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, TypeAlias

from catga.clock import Bell
from catga.context import Context, leave
from catga.delivery.failures import undeliverable
from catga.delivery.hand import Hand
from catga.delivery.means import Means
from catga.delivery.work import CONFLICTS, Work
from catga.errors import CatgaError, CommitRefused, Conflict, OutcomeUnknown, StoreError
from catga.ports.messages import Delivery, Lease
from catga.ports.store import COMMITTED, Commit, Outcome, Parked, ParkedState, Unit
from catga.ports.transport import Settle

log: logging.Logger = logging.getLogger("catga.delivery")

Finished: TypeAlias = tuple[Work, Unit, Parked | None, Context | None]
"""A work, what it writes, the row it parks where it has failed, and the context where it has run."""

PATIENCE = 0.5
"""Seconds before a store that did not answer is asked again."""


class Commits:
    """Nothing is settled before its commit, and no key goes on before its message has ended."""

    def __init__(self, means: Means, hand: Hand) -> None:
        self._means = means
        self._name = means.channel
        self._hand = hand
        self._committer = means.committer
        self._consumer = means.consumer
        self._failures = means.failures
        self._recorder = means.recorder
        self._colocated = means.colocated
        # In a queue that is not the store's own other apps may read the same message: its blob goes by its age.
        self._claims = means.claims if means.colocated else None
        self._finished: list[Finished] = []
        self._some = asyncio.Event()
        self._patience = Bell(means.clock)
        self._tasks: set[asyncio.Task[None]] = set()

    # -- what has ended -----------------------------------------------------------------------------------------------

    def finish(self, work: Work, unit: Unit, parks: Parked | None = None, ctx: Context | None = None) -> None:
        """Goes into the next commit."""
        self.fence(work, unit)
        self._finished.append((work, unit, parks, ctx))
        self._some.set()

    def fail(self, work: Work, error: BaseException) -> None:
        """Its next try, or its dead letter, goes into the next commit."""
        self.finish(work, *self._failures.unit(work, error))

    def follow(self, work: Work) -> None:
        """It waits behind others of its key. The key need not be held until the commit: what comes next of it waits too."""
        self._hand.blocked.follow(work)
        self.finish(work, *self._failures.blocked(work))
        if work.lane is not None:
            self._hand.lanes.done(work.lane)
            work.lane = None

    def bury(self, delivery: Delivery, error: Exception) -> None:
        """Bytes that no handler can be found for become a dead letter of their own."""
        if self._recorder.refused(self._name, error):
            log.error(
                "channel %s refuses a message; the next ones for this reason are only counted: %s", self._name, error
            )
        self._hand.open += 1
        self._soon(self._bury(delivery, error))

    def settle_soon(self, deliveries: Sequence[Delivery]) -> None:
        """They were handled before."""
        self._soon(self._settle(deliveries))

    def fence(self, work: Work, unit: Unit) -> None:
        """Committed under the lease it was received with; settled with it where this is the message's last handler and one
        commit can do both."""
        if work.lease is not None:
            unit.leases = (work.lease,)
        arrival = work.arrival
        if self._colocated and arrival is not None and arrival.left == 1:
            unit.settle = (arrival.delivery.token,)

    def fence_all(self, works: Sequence[Work], unit: Unit) -> None:
        """As `fence`, for a list of any parts."""
        unit.leases = list({id(work.lease): work.lease for work in works if work.lease is not None}.values())
        if self._colocated:
            unit.settle = {
                work.arrival.delivery.token for work in works if work.arrival is not None and work.arrival.left == 1
            }

    # -- committing ---------------------------------------------------------------------------------------------------

    async def work(self) -> None:
        """Group after group until cancelled: what has finished while one was committed forms the next."""
        while True:
            await self._some.wait()
            self._some.clear()
            group, self._finished = self._finished, []
            try:
                outcomes = await self._committer.submit([unit for _, unit, _, _ in group])
            except StoreError as error:
                # Nothing was written and nothing is lost: the same units are tried again.
                log.warning("channel %s cannot commit: %s", self._name, error)
                self._finished = group + self._finished
                await self._patience.wait(PATIENCE)
                self._some.set()
            except Exception as error:
                self._warn(error)
                group += self._behind()
                self._hand.give_up([work for work, _, _, _ in group])
                for _, _, _, ctx in group:
                    if ctx is not None:
                        await leave(ctx)
            else:
                await self.ended(group, outcomes)
            # Freed now and not when the next one comes: what is in memory caches stays little.
            group.clear()

    def _behind(self) -> list[Finished]:
        """Takes out those that were to wait behind others of their key: these may be among what is given up, and come again
        after them."""
        finished, self._finished = self._finished, []
        behind: list[Finished] = []
        for each in finished:
            parks = each[2]
            (self._finished if parks is None or parks.state is not ParkedState.BLOCKED else behind).append(each)
        return behind

    async def alone(self, unit: Unit) -> Outcome:
        """One unit, until the store answers; what is unknown counts as taken over, and is received again."""
        while True:
            try:
                (outcome,) = await self._committer.submit([unit])
            except StoreError as error:
                log.warning("channel %s cannot commit: %s", self._name, error)
                await self._patience.wait(PATIENCE)
            except Exception as error:
                self._warn(error)
                return Outcome(Commit.STALE)
            else:
                return outcome

    def _warn(self, error: Exception) -> None:
        log.warning("channel %s: %s", self._name, error, exc_info=not isinstance(error, OutcomeUnknown))

    async def ended(self, group: Sequence[Finished], outcomes: Sequence[Outcome]) -> None:
        """What each outcome means for its work, its key and its delivery."""
        hand = self._hand
        lanes: list[bytes | None] = []
        closed: list[tuple[Work, Unit]] = []
        dues: list[int] = []
        for (work, unit, parks, ctx), outcome in zip(group, outcomes, strict=True):
            if ctx is not None and ctx._stack is not None:
                await leave(ctx)
            if work.arrival is not None and (parks is not None or outcome is not COMMITTED):
                work.arrival.kept = True
            if outcome is COMMITTED:
                if parks is None:
                    dues.append(work.envelope.due_ms)
                else:
                    self._recorder.parked(parks)
                if parks is not None or work.parked is not None:
                    hand.blocked.change(work, parks)
                    hand.bell.ring()
            elif outcome.commit is Commit.FAILED:
                self._again(work, outcome.error or CommitRefused("the store gave no reason"))
                continue
            elif outcome.commit is Commit.DUPLICATE:
                self._recorder.redelivered(1)
                unit.settle = ()
                if work.parked is not None:
                    hand.blocked.change(work, None)
                    hand.bell.ring()
                if parks is not None and parks.state is ParkedState.BLOCKED:
                    hand.blocked.unfollow(work)
            else:
                if parks is not None and parks.state is ParkedState.BLOCKED:
                    hand.blocked.unfollow(work)
                hand.drop([work])
                continue
            lanes.append(work.lane)
            closed.append((work, unit))
        self._recorder.handled(dues, self._means.clock.wall_ms())
        if hand.lanes.done_many(lanes):
            hand.ready.set()
        await self._close(closed)

    async def batch_ended(self, works: Sequence[Work], unit: Unit) -> None:
        """A list that took effect, or had taken effect before."""
        self._recorder.handled([work.envelope.due_ms for work in works], self._means.clock.wall_ms())
        for work in works:
            if work.parked is not None:
                self._hand.blocked.change(work, None)
                self._hand.bell.ring()
        await self._close([(work, unit) for work in works])

    async def _close(self, closed: Sequence[tuple[Work, Unit]]) -> None:
        settled: list[Any] = []
        late: list[Delivery] = []
        over: list[bytes] = []
        ended = 0
        for work, unit in closed:
            arrival = work.arrival
            if arrival is None:
                self._hand.put_down(work)
                ended += 1
                continue
            arrival.left -= 1
            if self._claims is not None and arrival.left == 0 and not arrival.kept:
                over.append(arrival.delivery.frame)
            if arrival.delivery.token in unit.settle:
                settled.append(arrival.delivery.token)
            elif arrival.left == 0:
                late.append(arrival.delivery)
        if settled:
            self._consumer.settled(settled)
        self._hand.ended(ended + len(settled))
        if late:
            await self._settle(late)
        if over and self._claims is not None:
            self._soon(self._claims.remove(over))

    def _again(self, work: Work, error: Exception) -> None:
        if isinstance(error, Conflict) and work.conflicts < CONFLICTS:
            work.conflicts += 1
            self._hand.run_again(work)
        else:
            self.fail(work, error)

    # -- settling by itself -------------------------------------------------------------------------------------------

    async def _settle(self, deliveries: Sequence[Delivery]) -> None:
        try:
            if self._colocated:
                units = [Unit(settle=(delivery.token,), leases=self._leases(delivery)) for delivery in deliveries]
                await self._committer.submit(units)
                self._consumer.settled([delivery.token for delivery in deliveries])
            else:
                await self._consumer.settle([(delivery.token, Settle.DONE) for delivery in deliveries])
        except CatgaError as error:
            # Their marks are written: they will be received again and only settled.
            log.warning("channel %s cannot settle: %s", self._name, error)
        finally:
            self._hand.ended(len(deliveries))

    async def _bury(self, delivery: Delivery, error: Exception) -> None:
        frame = delivery.frame
        id = frame[8:24] if len(frame) >= 24 else bytes(frame)
        park = undeliverable(frame, id, self._name, delivery.part, error)
        try:
            await self._committer.submit([Unit(park=[park], leases=self._leases(delivery))])
        except CatgaError as failed:
            log.warning("channel %s cannot bury a message: %s", self._name, failed)
            self._hand.rewind = True
            self._hand.ended(1)
        else:
            await self._settle([delivery])

    def _leases(self, delivery: Delivery) -> tuple[Lease, ...]:
        return () if delivery.lease is None else (delivery.lease,)

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Ends what settles and buries by itself; what it had in hand is received again."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
