"""Batch handlers on the durable path: one list at a time, one commit a list, and the item that fails is found."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from catga import _core
from catga.clock import Bell, Clock
from catga.delivery.run import Runner, own_cancellation
from catga.delivery.work import CONFLICTS, Target, Work
from catga.errors import Conflict, ItemsFailed
from catga.ports.store import Commit, Outcome, Unit

LARGEST = 512
"""Items in one list: what is out must leave room for other handlers."""


class BatchLane:
    """Works for one batch handler. Lists are handled one after the other, so that keys keep their order."""

    def __init__(
        self,
        target: Target,
        clock: Clock,
        runner: Runner,
        *,
        commit: Callable[[Unit, Sequence[Work]], Awaitable[Outcome]],
        done: Callable[[Unit, Sequence[Work]], Awaitable[None]],
        fail: Callable[[Work, Exception], Awaitable[None]],
        block: Callable[[Work], Awaitable[None]],
        holds: Callable[[Work], bool],
        overtaken: Callable[[Work], bool],
        drop: Callable[[Sequence[Work]], None],
    ) -> None:
        assert target.handler.batch is not None
        options = target.handler.batch
        self._target = target
        self._clock = clock
        self._runner = runner
        self._commit = commit
        self._done = done
        self._fail = fail
        self._block = block
        self._holds = holds
        self._overtaken = overtaken
        self._drop = drop
        self._batcher: _core.Batcher[Work] = _core.Batcher(
            min(options.size, LARGEST), options.bytes, max(1, int(options.wait * 1000))
        )
        self._bell = Bell(clock)
        self._force = False

    def add(self, work: Work) -> None:
        """Waits for company."""
        if self._batcher.add(work, len(work.frame), work.envelope.key, self._now()) or len(self._batcher) == 1:
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

    async def _run(self, works: list[Work]) -> None:
        """All of them in one commit, or, where that fails, each half by itself."""
        free: list[Work] = []
        for work in works:
            if self._holds(work):
                await self._block(work)
            elif self._overtaken(work):
                self._drop([work])
            else:
                free.append(work)
        if not free:
            return
        try:
            ctx, _ = await self._runner.run_batch(self._target, free)
            unit = self._runner.batch_unit(self._target, free, ctx)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                self._drop(free)
                raise
            await self._split(free, own_cancellation(free[0], error))
            return
        except ItemsFailed as error:
            await self._without(free, error)
            return
        except Exception as error:
            await self._split(free, error)
            return
        outcome = await self._commit(unit, free)
        if outcome.commit is Commit.COMMITTED:
            await self._done(unit, free)
        elif outcome.commit is Commit.STALE:
            self._drop(free)
        elif len(free) == 1 and outcome.commit is Commit.DUPLICATE:
            unit.settle = ()
            await self._done(unit, free)
        elif isinstance(outcome.error, Conflict) and free[0].conflicts < CONFLICTS:
            free[0].conflicts += 1
            await self._run(free)
        else:
            await self._split(free, outcome.error or Conflict("the batch was handled before"))

    async def _split(self, works: list[Work], error: Exception) -> None:
        if len(works) == 1:
            await self._fail(works[0], error)
            return
        middle = len(works) // 2
        await self._run(works[:middle])
        await self._run(works[middle:])

    async def _without(self, works: list[Work], error: ItemsFailed) -> None:
        """The items it names have failed, and later ones of their keys wait behind them; the rest runs again."""
        rest: list[Work] = []
        for index, work in enumerate(works):
            if (failed := error.failed.get(index)) is not None:
                await self._fail(work, failed)
            else:
                rest.append(work)
        await self._run(rest)

    def _now(self) -> int:
        return int(self._clock.monotonic() * 1000)
