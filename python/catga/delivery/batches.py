"""Batch handlers on the durable path: one list at a time, one commit a list, and the item that fails is found."""

import asyncio
from collections.abc import Sequence

from catga import _core
from catga.clock import Bell
from catga.context import Context, leave
from catga.delivery.commits import Commits
from catga.delivery.hand import Hand
from catga.delivery.means import Means
from catga.delivery.run import own_cancellation
from catga.delivery.work import CONFLICTS, Target, Work
from catga.errors import CommitRefused, Conflict, ItemsFailed
from catga.mediator.handlers import Batch
from catga.ports.store import Commit, Parked, Unit

LARGEST = 512
"""Items in one list: what is out must leave room for other handlers."""


class BatchLane:
    """Works for one batch handler. Lists are handled one after the other, so that keys keep their order."""

    def __init__(self, means: Means, hand: Hand, commits: Commits, target: Target, options: Batch) -> None:
        self._target = target
        self._clock = means.clock
        self._runner = means.runner
        self._failures = means.failures
        self._hand = hand
        self._commits = commits
        self._batcher: _core.Batcher[Work] = _core.Batcher(
            min(options.size, LARGEST), options.bytes, max(1, int(options.wait * 1000))
        )
        self._bell = Bell(means.clock)
        self._force = False

    def add(self, works: Sequence[Work]) -> None:
        """They wait for company."""
        now, waiting = self._now(), len(self._batcher)
        full = False
        for work in works:
            full |= self._batcher.add(work, len(work.frame), work.envelope.key, now)
        if full or not waiting:
            self._bell.ring()

    def hurry(self) -> None:
        """Closes the open list now: what it holds is in the way of others."""
        self._force = True
        self._bell.ring()

    def clear(self) -> list[Work]:
        """Gives up what waits."""
        found: list[Work] = []
        while (runs := self._batcher.take(self._now(), force=True)) is not None:
            found += [work for run in runs for work in run]
        return found

    async def work(self) -> None:
        """Handles list after list until cancelled."""
        while True:
            force, self._force = self._force, False
            runs = self._batcher.take(self._now(), force=force)
            if runs is None:
                deadline = self._batcher.deadline()
                await self._bell.wait(3600.0 if deadline is None else max(0.001, (deadline - self._now()) / 1000))
                continue
            await self._run([work for run in runs for work in run])

    async def _run(self, works: list[Work]) -> bool:
        """All of them in one commit, or, where that fails, each half by itself; whether what stands behind them may go on."""
        free = await self._free(works)
        if not free:
            return free is not None
        ctx = self._runner.batch_context()
        try:
            await self._runner.batch_reply(self._target, free, ctx)
            unit = self._runner.batch_unit(self._target, free, ctx)
            if self._runner.unkept:
                await self._runner.keep()
        except asyncio.CancelledError as error:
            await leave(ctx)
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                return await self._split(free, own_cancellation(free[0], error))
            self._hand.give_up(free)
            raise
        except ItemsFailed as error:
            await leave(ctx)
            return await self._without(free, error)
        except Exception as error:
            await leave(ctx)
            return await self._split(free, error)
        return await self._commit(free, unit, ctx)

    async def _free(self, works: list[Work]) -> list[Work] | None:
        """Those that no other of their key stands before; None where they were given up."""
        blocked = self._hand.blocked
        if not blocked.waiting:
            return works
        free: list[Work] = []
        for index, work in enumerate(works):
            if work.parked is not None and blocked.overtaken(work.parked):
                self._hand.drop([work])
            elif work.parked is None and blocked.holds(work):
                blocked.follow(work)
                if not await self._park(work, *self._failures.blocked(work)):
                    self._hand.give_up([*free, *works[index + 1 :]])
                    return None
            else:
                free.append(work)
        return free

    async def _commit(self, works: list[Work], unit: Unit, ctx: Context) -> bool:
        self._commits.fence_all(works, unit)
        outcome = await self._commits.alone(unit)
        await leave(ctx)
        if outcome.commit is Commit.COMMITTED:
            await self._commits.batch_ended(works, unit)
        elif outcome.commit is Commit.STALE:
            # Some of these parts are still ours: what they hold is read again.
            self._hand.give_up(works)
            return False
        elif outcome.commit is Commit.DUPLICATE and len(works) == 1:
            await self._commits.ended([(works[0], unit, None, None)], [outcome])
        elif isinstance(outcome.error, Conflict) and works[0].conflicts < CONFLICTS:
            works[0].conflicts += 1
            return await self._run(works)
        else:
            return await self._split(works, outcome.error or CommitRefused("some of the batch was handled before"))
        return True

    async def _split(self, works: list[Work], error: Exception) -> bool:
        if len(works) == 1:
            return await self._park(works[0], *self._failures.unit(works[0], error))
        middle = len(works) // 2
        if await self._run(works[:middle]):
            return await self._run(works[middle:])
        self._hand.give_up(works[middle:])
        return False

    async def _without(self, works: list[Work], error: ItemsFailed) -> bool:
        """The items it names have failed, and later ones of their keys wait behind them; the rest runs again."""
        rest = [work for index, work in enumerate(works) if index not in error.failed]
        failed = [(works[index], failure) for index, failure in sorted(error.failed.items())]
        for number, (work, failure) in enumerate(failed, 1):
            if not await self._park(work, *self._failures.unit(work, failure)):
                self._hand.give_up([*rest, *(each for each, _ in failed[number:])])
                return False
        return await self._run(rest)

    async def _park(self, work: Work, unit: Unit, parks: Parked) -> bool:
        self._commits.fence(work, unit)
        outcome = await self._commits.alone(unit)
        if outcome.commit is Commit.STALE:
            self._hand.give_up([work])
            return False
        await self._commits.ended([(work, unit, parks, None)], [outcome])
        return True

    def _now(self) -> int:
        return int(self._clock.monotonic() * 1000)
