"""One channel's work in this process: receive, look up, rank, run, commit, settle; lists all the way."""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from catga import _core
from catga.clock import Bell, Clock
from catga.context import Context
from catga.delivery.batches import BatchLane
from catga.delivery.blocked import Blocked
from catga.delivery.committer import Committer
from catga.delivery.failures import Failures, outside_window, undeliverable
from catga.delivery.run import Runner, own_cancellation
from catga.delivery.work import CONFLICTS, Arrival, Target, Work
from catga.envelope import DAY_MS, NAMED, Codec, Envelope, Form
from catga.errors import Conflict, OutcomeUnknown, Poison, StoreError
from catga.messages import NORMAL, Message
from catga.ports.messages import Delivery, Lease, Outgoing
from catga.ports.store import COMMITTED, Commit, Outcome, Parked, ParkedState, Store, Unit
from catga.ports.transport import Consumer, Settle

log: logging.Logger = logging.getLogger("catga.delivery")

CREDIT = 1024
"""Messages taken in and not ended yet."""
AT_ONCE = 256
"""Messages taken in by one step of the loop: whoever waits for the write lock may wait for such a step to end."""
SLICE = 4
"""Messages a worker runs before it lets others have the loop."""
POISON = 3
"""Times a process may end while it works on one message alone."""
FOLLOWERS = 64
"""Blocked messages of one key that are taken up at once when its head has gone."""
Finished = tuple[Work, Unit, Parked | None, Context | None]


class Channel:
    """Competes with the same channel of other instances for its parts."""

    def __init__(
        self,
        name: str,
        targets: Mapping[type[Any], Sequence[Target]],
        *,
        clock: Clock,
        codec: Codec,
        store: Store,
        committer: Committer,
        runner: Runner,
        failures: Failures,
        consumer: Consumer,
        colocated: bool,
        concurrency: int,
        window_days: int,
        recorder: Any,
    ) -> None:
        self.name = name
        self._targets = targets
        self._by_id = {target.id: target for group in targets.values() for target in group}
        self._clock = clock
        self._codec = codec
        self._store = store
        self._committer = committer
        self._runner = runner
        self._failures = failures
        self._consumer = consumer
        self._colocated = colocated
        self._concurrency = concurrency
        self._window_days = window_days
        self._recorder = recorder
        self._lanes: _core.Lanes[Work] = _core.Lanes(CREDIT * 16)
        self.open: int = 0
        self._finished: list[Finished] = []
        self._bell = Bell(clock)
        self._room = asyncio.Event()
        self._ready = asyncio.Event()
        self._to_commit = asyncio.Event()
        self._blocked = Blocked()
        self._tasks: list[asyncio.Task[None]] = []
        self._batches = {
            target.id: self._batch_lane(target) for target in self._by_id.values() if target.handler.batch is not None
        }
        self._stopping = False
        self._rewind = False
        self._alone = False
        self._taken: set[tuple[str, bytes]] = set()

    async def start(self) -> None:
        """Begins to take work."""
        loops = [
            self._receive(),
            self._commits(),
            self._retries(),
            *(lane.work() for lane in self._batches.values()),
            *(self._work() for _ in range(self._concurrency)),
        ]
        self._tasks = [asyncio.create_task(loop, name=f"catga-{self.name}-{n}") for n, loop in enumerate(loops)]

    async def stop(self, deadline: float) -> None:
        """Takes no more, ends what runs or gives it back, until `deadline` (monotonic seconds)."""
        self._stopping = True
        self._room.set()
        self._bell.ring()
        self._drop_all(self._queued())
        while self.open and (left := deadline - self._clock.monotonic()) > 0:
            await self._bell.wait(min(left, 0.05))
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._consumer.stop()

    def nudge(self) -> None:
        """Something was parked: it may be due before the next look."""
        self._bell.ring()

    def statistics(self) -> dict[str, int]:
        """Messages taken in and not ended, and how many of them wait to run."""
        return {"open": self.open, "queued": len(self._lanes)}

    # -- in -----------------------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        while not self._stopping:
            room = CREDIT - self.open
            if room < CREDIT // 4 or (self._rewind and self.open):
                self._hurry()
                self._room.clear()
                await self._room.wait()
                continue
            if self._rewind:
                self._rewind = False
                self._consumer.rewind()
            try:
                deliveries = await self._consumer.receive(min(room, AT_ONCE), 1.0)
                if self._stopping:
                    continue
                if self._batches and self._consumer.congested():
                    self._hurry()
                # Suspects first: they are the oldest of their parts, and nothing of their keys may pass them.
                for delivery in deliveries:
                    if delivery.suspect:
                        await self._take_alone(delivery)
                fresh = [delivery for delivery in deliveries if not delivery.suspect]
                if fresh and not self._rewind:
                    await self._take(fresh)
            except StoreError as error:
                # What was handed out and not taken in is received again, with what came behind it.
                self._rewind = True
                log.warning("channel %s cannot receive: %s", self.name, error)
                await self._bell.wait(0.5)

    def _hurry(self) -> None:
        """Lists that wait for company hold what others need: they are closed now."""
        for lane in self._batches.values():
            lane.hurry()

    async def _take_alone(self, delivery: Delivery) -> None:
        """After a crash: one by one, so that the one that kills the process is known from its neighbours."""
        self._alone = True
        try:
            await self._take_suspect(delivery)
        finally:
            self._alone = False

    async def _take_suspect(self, delivery: Delivery) -> None:
        await self._idle()
        if self._rewind:
            return
        claims = await self._consumer.alone(delivery)
        if claims >= POISON:
            error = Poison(
                "the process ended each time it worked on this message alone",
                where=f"channel {self.name}",
                why=f"{claims} claims ended without a word",
                fix="mend the handler, then `catga dlq replay`",
            )
            await self._take([delivery], error)
        else:
            await self._take([delivery])
            self._hurry()
        await self._idle()

    async def _idle(self) -> None:
        while self.open and not self._stopping:
            self._room.clear()
            await self._room.wait()

    async def _take(self, deliveries: Sequence[Delivery], condemned: Exception | None = None) -> None:
        """Deliveries become works; those that have a mark already are only settled."""
        if again := sum(delivery.again for delivery in deliveries):
            self._recorder.redelivered(again)
        oldest = self._clock.wall_ms() // DAY_MS - self._window_days
        wanted: dict[tuple[int, str], list[bytes]] = {}
        found: list[tuple[Delivery, Message, Envelope, Sequence[Target], int]] = []
        for delivery, item in zip(
            deliveries, self._codec.decode([delivery.frame for delivery in deliveries]), strict=True
        ):
            if isinstance(item, Exception):
                self._bury(delivery, item)
                continue
            message, envelope, _ = item
            targets = self._targets.get(message.__class__, ())
            day = envelope.due_ms // DAY_MS
            # What came in with the commits of this store, under our lease and an id of our own making, was never here.
            if not (delivery.first and self._colocated) or envelope.flags & NAMED:
                for target in targets:
                    wanted.setdefault((day, target.id), []).append(envelope.id)
            found.append((delivery, message, envelope, targets, day))
        await self._learn_blocked({delivery.lease for delivery in deliveries if delivery.lease is not None})
        known = await self._store.known(wanted) if wanted else ()
        self.open += len(found)
        works: list[Work] = []
        for delivery, message, envelope, targets, day in found:
            if known:
                fresh = [target for target in targets if (target.id, envelope.id) not in known]
                self._recorder.redelivered(0 if delivery.again else len(targets) - len(fresh))
                targets = fresh
            if not targets:
                self._spawn(self._settle([delivery]))
                continue
            arrival = Arrival(delivery, len(targets))
            key = envelope.key
            error = condemned if day >= oldest else outside_window(envelope)
            for target in targets:
                work = Work(
                    target,
                    message,
                    envelope,
                    self.name,
                    delivery.part,
                    delivery.lease,
                    delivery.frame,
                    None if key is None else target.lane + key,
                    arrival,
                )
                if error is None:
                    works.append(work)
                else:
                    self._fail(work, error)
        self._put(works)

    async def _learn_blocked(self, leases: Collection[Lease]) -> None:
        """Before anything of a part runs that was taken over, what is parked in it must be known: it comes first."""
        if fresh := self._blocked.unknown(leases):
            rows = await self._store.waiting_keys(self.name, fresh)
            self._blocked.load([lease for lease in leases if lease.part in fresh], rows)

    def _put(self, works: Sequence[Work]) -> None:
        if self._batches:
            for work in works:
                if work.target.id in self._batches:
                    self._batches[work.target.id].add(work)
            works = [work for work in works if work.target.id not in self._batches]
        if not works:
            return
        lanes, priorities = [work.lane for work in works], bytes([work.envelope.priority for work in works])
        self._lanes.put_many(works, lanes, priorities, self._clock.wall_ms())
        self._ready.set()

    # -- run ----------------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            now = self._clock.wall_ms()
            for _ in range(SLICE):
                if not (ready := self._lanes.drain(1, now)):
                    break
                work = ready[0]
                if self._blocked.holds(work):
                    self._follow(work)
                elif self._blocked.overtaken(work):
                    self._drop(work)
                else:
                    await self._attempt(work)
            else:
                await asyncio.sleep(0)
                continue
            self._ready.clear()
            await self._ready.wait()

    def _follow(self, work: Work) -> None:
        # Its key need not be held until the commit: whatever comes next of it goes behind this one.
        self._blocked.follow(work)
        self._finish(work, *self._failures.blocked(work))
        if work.lane is not None:
            self._lanes.done(work.lane)
            work.lane = None

    async def _attempt(self, work: Work) -> None:
        try:
            if work.target.writes:
                await self._alone_in_store(work)
                return
            ctx, reply = await self._runner.run(work)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                self._drop(work)
                raise
            self._fail(work, own_cancellation(work, error))
        except Exception as error:
            self._fail(work, error)
        except BaseException:
            self._drop(work)
            raise
        else:
            try:
                unit = self._runner.unit(work, ctx, reply)
            except Exception as error:
                self._fail(work, error)
            else:
                self._finish(work, unit, None, ctx)

    async def _alone_in_store(self, work: Work) -> None:
        def unit_of(result: tuple[Context, Any]) -> Unit:
            return self._fenced(work, self._runner.unit(work, *result))

        (ctx, _), unit, outcome = await self._store.exclusive(
            lambda connection: self._runner.run_alone(work, connection), unit_of
        )
        await self._ended([(work, unit, None, ctx)], [outcome])

    def _fail(self, work: Work, error: BaseException) -> None:
        self._finish(work, *self._failures.unit(work, error))

    def _finish(self, work: Work, unit: Unit, parks: Parked | None, ctx: Context | None = None) -> None:
        self._finished.append((work, self._fenced(work, unit), parks, ctx))
        self._to_commit.set()

    def _fenced(self, work: Work, unit: Unit) -> Unit:
        """Under the lease it was received with; settled with it where this is the message's last handler and one commit can do
        both."""
        if work.lease is not None and self._colocated:
            unit.leases = (work.lease,)
        arrival = work.arrival
        if self._colocated and arrival is not None and arrival.left == 1:
            unit.settle = (arrival.delivery.token,)
        return unit

    def _fenced_batch(self, works: Sequence[Work], unit: Unit) -> Unit:
        """As `_fenced`, for all parts of a list."""
        ones = [self._fenced(work, Unit()) for work in works]
        unit.leases = {lease for one in ones for lease in one.leases}
        unit.settle = {token for one in ones for token in one.settle}
        return unit

    # -- batches ------------------------------------------------------------------------------------------------------

    def _batch_lane(self, target: Target) -> BatchLane:
        return BatchLane(
            target,
            self._clock,
            self._runner,
            commit=self._commit_batch,
            done=self._batch_done,
            fail=self._fail_item,
            block=self._block_item,
            holds=self._blocked.holds,
            overtaken=self._blocked.overtaken,
            drop=self._drop_batch,
        )

    async def _commit_batch(self, unit: Unit, works: Sequence[Work]) -> Outcome:
        self._fenced_batch(works, unit)
        while True:
            try:
                (outcome,) = await self._committer.submit([unit])
            except OutcomeUnknown as error:
                log.warning("channel %s: %s", self.name, error)
                self._rewind = True
                return Outcome(Commit.STALE)
            except StoreError as error:
                log.warning("channel %s cannot commit: %s", self.name, error)
                await self._bell.wait(0.5)
            else:
                return outcome

    async def _batch_done(self, unit: Unit, works: Sequence[Work]) -> None:
        settled: list[Any] = []
        late: list[Delivery] = []
        self._recorder.handled([work.envelope.due_ms for work in works], self._clock.wall_ms())
        for work in works:
            if work.parked is not None:
                self._blocked.change(work, None)
                self._bell.ring()
            self._close(work, unit, settled, late)
        await self._closed(settled, late)

    async def _fail_item(self, work: Work, error: Exception) -> None:
        await self._park_item(work, *self._failures.unit(work, error))

    async def _block_item(self, work: Work) -> None:
        self._blocked.follow(work)
        await self._park_item(work, *self._failures.blocked(work))

    async def _park_item(self, work: Work, unit: Unit, parks: Parked) -> None:
        outcome = await self._commit_batch(unit, [work])
        if outcome.commit is Commit.STALE:
            self._drop_batch([work])
        else:
            await self._ended([(work, unit, parks, None)], [outcome])

    def _drop_batch(self, works: Sequence[Work]) -> None:
        # Some of these parts are still ours: what they hold is read again.
        self._rewind = self._rewind or not self._stopping
        self._drop_all(works)

    # -- commit -------------------------------------------------------------------------------------------------------

    async def _commits(self) -> None:
        while True:
            await self._to_commit.wait()
            self._to_commit.clear()
            group, self._finished = self._finished, []
            try:
                outcomes = await self._committer.submit([unit for _, unit, _, _ in group])
            except OutcomeUnknown as error:
                # Whatever waits behind these in memory would overtake them: everything is read again, in order.
                log.warning("channel %s: %s", self.name, error)
                self._rewind = True
                self._drop_all([*self._queued(), *(work for work, _, _, _ in group)])
                continue
            except StoreError as error:
                # Nothing was written and nothing is lost: the same units are tried again.
                log.warning("channel %s cannot commit: %s", self.name, error)
                self._finished = group + self._finished
                await self._bell.wait(0.5)
                self._to_commit.set()
                continue
            await self._ended(group, outcomes)

    async def _ended(self, group: Sequence[Finished], outcomes: Sequence[Outcome]) -> None:
        lanes: list[bytes | None] = []
        settled: list[Any] = []
        late: list[Delivery] = []
        dues: list[int] = []
        for (work, unit, parks, ctx), outcome in zip(group, outcomes, strict=True):
            if ctx is not None and ctx._stack is not None:
                await ctx._stack.aclose()
            if outcome is COMMITTED:
                if parks is None:
                    dues.append(work.envelope.due_ms)
                    if unit.park:
                        self._bell.ring()
                else:
                    self._recorder.parked(parks)
                if parks is not None or work.parked is not None:
                    self._blocked.change(work, parks)
                    self._bell.ring()
            elif outcome.commit is Commit.FAILED:
                self._again(work, outcome)
                continue
            elif outcome.commit is Commit.DUPLICATE:
                self._recorder.redelivered(1)
                unit.settle = ()
                if parks is not None and parks.state is ParkedState.BLOCKED:
                    self._blocked.unfollow(work)
            else:
                self._drop(work)
                continue
            lanes.append(work.lane)
            self._close(work, unit, settled, late)
        self._recorder.handled(dues, self._clock.wall_ms())
        if self._lanes.done_many(lanes):
            self._ready.set()
        await self._closed(settled, late)

    def _close(self, work: Work, unit: Unit, settled: list[Any], late: list[Delivery]) -> None:
        arrival = work.arrival
        if arrival is None:
            self._taken.discard((work.target.id, work.envelope.id))
            self.open -= 1
            return
        arrival.left -= 1
        if arrival.delivery.token in unit.settle:
            settled.append(arrival.delivery.token)
            self.open -= 1
        elif arrival.left == 0:
            late.append(arrival.delivery)

    async def _closed(self, settled: list[Any], late: list[Delivery]) -> None:
        if settled:
            self._consumer.settled(settled)
        if late:
            await self._settle(late)
        self._room.set()
        if self._stopping:
            self._bell.ring()

    def _again(self, work: Work, outcome: Outcome) -> None:
        error = outcome.error or StoreError("a statement failed")
        if isinstance(error, Conflict) and work.conflicts < CONFLICTS:
            work.conflicts += 1
            if work.lane is not None:
                self._lanes.done(work.lane)
            self._put([work])
        else:
            self._fail(work, error)

    async def _settle(self, deliveries: Sequence[Delivery]) -> None:
        try:
            if self._colocated:
                units = [Unit(settle=(delivery.token,), leases=self._leases(delivery)) for delivery in deliveries]
                await self._committer.submit(units)
                self._consumer.settled([delivery.token for delivery in deliveries])
            else:
                await self._consumer.settle([(delivery.token, Settle.DONE) for delivery in deliveries])
        except StoreError as error:
            # Their marks are written: they will be received again and only settled.
            log.warning("channel %s cannot settle: %s", self.name, error)
        finally:
            self.open -= len(deliveries)
            self._room.set()

    def _bury(self, delivery: Delivery, error: Exception) -> None:
        """Bytes that no handler can be found for become a dead letter of their own."""
        id = delivery.frame[8:24] if len(delivery.frame) >= 24 else bytes(delivery.frame)
        park = undeliverable(delivery.frame, id, self.name, delivery.part, error)
        self.open += 1

        async def bury() -> None:
            try:
                await self._committer.submit([Unit(park=[park], leases=self._leases(delivery))])
                await self._settle([delivery])
            except StoreError as failed:
                log.warning("channel %s cannot bury a message: %s", self.name, failed)
                self._rewind = True
                self.open -= 1
                self._room.set()

        self._spawn(bury())

    def _spawn(self, work: Any) -> None:
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.create_task(work))

    def _drop(self, work: Work) -> None:
        """Given back uncounted: stopping, a lost lease, or a commit whose outcome is unknown."""
        if work.lane is not None:
            self._lanes.done(work.lane)
        if work.arrival is None:
            self._taken.discard((work.target.id, work.envelope.id))
            self.open -= 1
        else:
            work.arrival.left -= 1
            if work.arrival.left == 0:
                self.open -= 1
        self._room.set()

    def _leases(self, delivery: Delivery) -> tuple[Lease, ...]:
        """What whatever comes of a delivery commits under. Epochs of a queue elsewhere mean nothing to this store: there
        the marks alone keep a message from taking effect twice."""
        return (delivery.lease,) if delivery.lease is not None and self._colocated else ()

    def _drop_all(self, works: Sequence[Work]) -> None:
        for work in works:
            self._drop(work)

    def _queued(self) -> list[Work]:
        return [*self._lanes.clear(), *(work for lane in self._batches.values() for work in lane.clear())]

    # -- parked -------------------------------------------------------------------------------------------------------

    async def _retries(self) -> None:
        while not self._stopping:
            rows: Sequence[Parked] = ()
            try:
                leases = {
                    part: lease
                    for part in self._consumer.parts()
                    if (lease := self._consumer.lease_of(part)) is not None
                }
                if leases and not self._alone:
                    await self._learn_blocked(leases.values())
                    rows = [
                        *await self._store.due(self.name, list(leases), self._clock.wall_ms(), CREDIT),
                        *await self._followers(leases),
                    ]
                    await self._take_parked([row for row in rows if (row.handler, row.id) not in self._taken], leases)
                due = await self._store.next_due()
            except StoreError as error:
                log.warning("channel %s cannot read what is parked: %s", self.name, error)
                due = None
            # What is due already and was not taken has no handler here, or no part: another instance's business.
            wait = 1.0 if due is None or due <= self._clock.wall_ms() else (due - self._clock.wall_ms()) / 1000
            await self._bell.wait(min(1.0, max(0.005, wait)) if len(rows) < CREDIT else 0.005)

    async def _followers(self, leases: Mapping[int, Lease]) -> list[Parked]:
        found: list[Parked] = []
        while self._blocked.freed and len(found) < CREDIT:
            handler, key, part = self._blocked.freed.pop()
            if part in leases:
                found += await self._store.followers(self.name, part, handler, key, FOLLOWERS)
        return found

    async def _take_parked(self, rows: Sequence[Parked], leases: Mapping[int, Lease]) -> None:
        units: list[Unit] = []
        works: list[Work] = []
        for row, item in zip(rows, self._codec.decode([row.frame for row in rows]), strict=True):
            lease = leases[row.part]
            if row.state is ParkedState.SCHEDULED:
                units.append(
                    Unit(
                        publish=[outgoing(row, item)],
                        unpark=[(row.handler, row.id)],
                        leases=(lease,) if self._colocated else (),
                    )
                )
                continue
            target = self._by_id.get(row.handler)
            if target is None or isinstance(item, Exception):
                continue
            message, envelope, _ = item
            lane = target.lane + row.key if row.key is not None else None
            works.append(Work(target, message, envelope, self.name, row.part, lease, row.frame, lane, None, row))
            self._taken.add((row.handler, row.id))
        self.open += len(works)
        self._put(works)
        if units:
            await self._committer.submit(units)


def outgoing(row: Parked, decoded: tuple[Message, Envelope, Form] | Exception) -> Outgoing:
    """A scheduled message whose time has come, as it was when it was accepted."""
    priority = NORMAL if isinstance(decoded, Exception) else decoded[1].priority
    return Outgoing(row.id, row.channel, row.part, row.key, priority, row.due_ms, row.frame)
