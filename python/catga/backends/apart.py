"""Work that its caller may be cancelled out of, and that goes on to its end."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Apart:
    """Runs work in tasks of its own: a cancelled caller must not leave a transaction open or its outcome unheard."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def begin(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """It is heard, also where nobody waits for it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Cancelling the caller leaves the work alone."""
        return await asyncio.shield(self.begin(work))

    async def unless_cancelled(self, work: Coroutine[Any, Any, T], past: asyncio.Event) -> T:
        """Cancelling the caller ends the work first, unless `past` says that it is too late for that."""
        task = self.begin(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not past.is_set():
                task.cancel()
                await asyncio.wait([task])
            raise

    async def all_ended(self) -> None:
        """Whatever was begun."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # heard, also where its caller was cancelled
