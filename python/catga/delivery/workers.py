"""Workers run handlers: each takes one message at a time from the lanes, so that a slow one holds up nobody else's."""

import asyncio
from typing import Any

from catga.context import Context, leave
from catga.delivery.commits import Commits
from catga.delivery.hand import Hand
from catga.delivery.means import Means
from catga.delivery.run import own_cancellation
from catga.delivery.work import Work
from catga.ports.store import Unit

SLICE = 16
"""Messages a worker runs before it lets others have the loop."""


class Workers:
    """Run what is ready, until cancelled."""

    def __init__(self, means: Means, hand: Hand, commits: Commits) -> None:
        self._clock = means.clock
        self._store = means.store
        self._runner = means.runner
        self._unkept = means.runner.unkept
        self._hand = hand
        self._commits = commits

    async def work(self) -> None:
        """One worker's life."""
        hand, blocked, drain = self._hand, self._hand.blocked, self._hand.lanes.drain
        again = hand.again
        while True:
            now = self._clock.wall_ms()
            for _ in range(SLICE):
                if again:
                    work = again.popleft()
                elif ready := drain(1, now):
                    work = ready[0]
                else:
                    break
                if work.parked is not None and blocked.overtaken(work.parked):
                    hand.drop([work])
                elif work.parked is None and blocked.waiting and blocked.holds(work):
                    self._commits.follow(work)
                elif work.target.writes:
                    await self._attempt_alone(work)
                else:
                    await self._attempt(work)
            else:
                await asyncio.sleep(0)
                continue
            hand.ready.clear()
            await hand.ready.wait()

    async def _attempt(self, work: Work) -> None:
        ctx: Context | None = None
        try:
            ctx = self._runner.context(work)
            reply = await self._runner.reply(work, ctx)
            unit = self._runner.unit(work, ctx, reply)
            if self._unkept:
                await self._runner.keep()
        except BaseException as error:
            if ctx is not None:
                await leave(ctx)
            self._failed(work, error)
        else:
            self._commits.finish(work, unit, None, ctx)

    async def _attempt_alone(self, work: Work) -> None:
        """In a transaction of its own, which is committed here; not retried in place: what it wrote is only undone with all
        of it."""

        async def run(connection: Any) -> tuple[Context, Unit]:
            ctx = self._runner.context(work, connection)
            try:
                unit = self._runner.unit(work, ctx, await work.target.call(work.message, ctx))
                if self._unkept:
                    await self._runner.keep()
            except BaseException:
                await leave(ctx)
                raise
            return ctx, unit

        def unit_of(result: tuple[Context, Unit]) -> Unit:
            self._commits.fence(work, result[1])
            return result[1]

        try:
            (ctx, _), unit, outcome = await self._store.exclusive(run, unit_of)
        except BaseException as error:
            self._failed(work, error)
        else:
            await self._commits.ended([(work, unit, None, ctx)], [outcome])

    def _failed(self, work: Work, error: BaseException) -> None:
        """Only a cancellation that was asked for counts as nothing."""
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                self._commits.fail(work, own_cancellation(work, error))
                return
        elif isinstance(error, Exception):
            self._commits.fail(work, error)
            return
        self._hand.drop([work])
        raise error
