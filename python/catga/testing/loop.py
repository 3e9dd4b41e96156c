"""An event loop that knows when nothing can happen any more by itself: what virtual time waits for."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PATIENCE = 0.25
"""Real seconds a thread may take; one that takes longer waits for the test itself."""


class IdleLoop(asyncio.SelectorEventLoop):
    """As asyncio's own, and `await loop.idle()` returns when no callback is ready and no thread of it is at work."""

    def __init__(self) -> None:
        self._selecting = _Selector(self._resting)
        self._threads = 0
        self._waiting: list[asyncio.Future[None]] = []
        super().__init__(self._selecting)

    async def idle(self) -> None:
        """Until nothing is left to do but what a clock, a socket or a stuck thread would begin."""
        waiter: asyncio.Future[None] = self.create_future()
        self._waiting.append(waiter)
        await waiter

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Counts what runs in threads."""
        future = super().run_in_executor(executor, func, *args)
        self._threads += 1
        future.add_done_callback(self._returned)
        return future

    def _returned(self, _: object) -> None:
        self._threads -= 1

    def _resting(self, timeout: float | None, select: Callable[[float | None], list[Any]]) -> list[Any]:
        """Called where the loop would sleep: the one moment at which it is known to be idle."""
        if not self._waiting:
            return select(timeout)
        if self._threads:
            longest = PATIENCE if timeout is None else min(PATIENCE, timeout)
            if found := select(longest):
                return found
        if found := select(0):
            return found
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
        return []


class _Selector(selectors.DefaultSelector):
    def __init__(self, resting: Callable[[float | None, Callable[[float | None], list[Any]]], list[Any]]) -> None:
        super().__init__()
        self._resting = resting

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return super().select(timeout)
        return self._resting(timeout, super().select)


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on an `IdleLoop`."""
    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        return runner.run(main)
