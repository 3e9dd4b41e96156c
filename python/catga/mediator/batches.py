"""Batch handlers inside one process: lists that close by count or by the age of their oldest item."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from catga import _core
from catga.clock import Clock
from catga.mediator.handlers import Batch
from catga.mediator.timers import Timers

log: logging.Logger = logging.getLogger("catga.batches")


class LocalBatches:
    """Collects messages for one batch handler. One list at a time is handled, so that keys keep their order."""

    def __init__(
        self,
        options: Batch,
        clock: Clock,
        timers: Timers,
        run: Callable[[list[Any]], Awaitable[Any]],
        key: Callable[[Any], bytes | None],
    ) -> None:
        self._batcher: _core.Batcher[Any] = _core.Batcher(options.size, options.bytes, max(1, int(options.wait * 1000)))
        self._clock = clock
        self._timers = timers
        self._run = run
        self._key = key
        self._timer: int | None = None
        self._task: asyncio.Task[None] | None = None

    async def add(self, message: Any) -> None:
        """Accepted; handled with others, soon."""
        now = self._now()
        if self._batcher.add(message, 0, self._key(message), now):
            self._close()
        elif self._timer is None and (deadline := self._batcher.deadline()) is not None:
            self._timer = self._timers.after((deadline - now) / 1000, self._close)

    async def stop(self) -> None:
        """Handles what is left, a list that is being filled included."""
        while len(self._batcher) or self._task is not None:
            self._close(force=True)
            if self._task is not None:
                await asyncio.wait([self._task])

    def _close(self, force: bool = False) -> None:
        if self._timer is not None:
            self._timers.cancel(self._timer)
            self._timer = None
        if self._task is None:
            self._task = asyncio.create_task(self._work(force), name="catga-batch")

    async def _work(self, force: bool) -> None:
        while (runs := self._batcher.take(self._now(), force=force)) is not None:
            try:
                await self._run([message for run in runs for message in run])
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                log.exception("a batch handler was cancelled by itself")
            except Exception:
                log.exception("a batch handler failed")
        self._task = None
        if (deadline := self._batcher.deadline()) is not None and self._timer is None:
            self._timer = self._timers.after(max(0, deadline - self._now()) / 1000, self._close)

    def _now(self) -> int:
        return int(self._clock.monotonic() * 1000)
