"""Clocks for tests: one that only moves when told to, and one that waits for the real one."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from catga.clock import Clock, SystemClock
from catga.testing.loop import IdleLoop

T = TypeVar("T")

SECOND = 1_000_000_000
YIELDS = 100
"""Rounds of a foreign loop after which it is taken for idle; an `IdleLoop` says so itself."""


class SteeredClock(Clock, Protocol):
    """What a test may do with time."""

    async def advance(self, seconds: float) -> None:
        """Lets time pass, and everything happen that it brings."""
        ...

    async def settle(self) -> None:
        """Lets everything happen that needs no time."""
        ...

    async def run(self, awaitable: Awaitable[T], most: float = 3600.0) -> T:
        """Awaits something while time passes; `TimeoutError` after `most` seconds of this clock."""
        ...


class VirtualClock:
    """Time that stands still until `advance`. The same calls give the same order of events, every time.

    >>> import asyncio
    >>> from catga.clock import sleep
    >>> async def main() -> float:
    ...     clock = VirtualClock()
    ...     await clock.run(sleep(clock, 3600.0))
    ...     return clock.monotonic()
    >>> asyncio.run(main())
    3600.0
    """

    def __init__(self, wall_ms: int = 1_700_000_000_000) -> None:
        self._wall_ms = wall_ms
        # Whole nanoseconds: sums of floating seconds would drift from the deadlines computed from them.
        self._now = 0
        self._number = 0
        self._timers: list[tuple[int, int, VirtualTimer]] = []

    def wall_ms(self) -> int:
        """See `Clock`."""
        return self._wall_ms + self._now // 1_000_000

    def monotonic(self) -> float:
        """See `Clock`; starts at 0."""
        return self._now / SECOND

    def call_at(self, when: float, call: Callable[[], object]) -> "VirtualTimer":
        """See `Clock`. What is due already is called in the loop's next round."""
        timer = VirtualTimer(call)
        due = round(when * SECOND)
        if due <= self._now and when > self.monotonic():
            # Less than a nanosecond is left: who waits for the rest of it again and again must come to its end.
            due = self._now + 1
        if due <= self._now:
            asyncio.get_running_loop().call_soon(timer.fire)
        else:
            self._number += 1
            heapq.heappush(self._timers, (due, self._number, timer))
        return timer

    def step(self, seconds: float) -> None:
        """Moves the wall clock alone, as an administrator does."""
        self._wall_ms += round(seconds * 1000)

    async def settle(self) -> None:
        """Runs the loop until nothing can happen without time."""
        loop = asyncio.get_running_loop()
        if isinstance(loop, IdleLoop):
            await loop.idle()
            return
        for _ in range(YIELDS):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Fires the timers of the next `seconds` in order; whatever each brings ends before the next."""
        end = self._now + round(seconds * SECOND)
        await self.settle()
        while (due := self._next()) is not None and due <= end:
            self._fire(due)
            await self.settle()
        self._now = end

    async def run(self, awaitable: Awaitable[T], most: float = 3600.0) -> T:
        """Awaits while time jumps from timer to timer; `TimeoutError` after `most` virtual seconds, or at once where
        no timer is left that could end the wait."""
        task = asyncio.ensure_future(awaitable)
        end = self._now + round(most * SECOND)
        try:
            while True:
                await self.settle()
                if task.done():
                    return await task
                due = self._next()
                if due is None or due > end:
                    raise TimeoutError(
                        f"still waiting after {most} virtual seconds"
                        if due
                        else "waits for something that no timer brings"
                    )
                self._fire(due)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    def _next(self) -> int | None:
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _fire(self, due: int) -> None:
        self._now = due
        timer = heapq.heappop(self._timers)[2]
        timer.fire()


class VirtualTimer:
    """What `call_at` gives back."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """See `Timer`."""
        self.call = None

    def fire(self) -> None:
        """Calls once, unless cancelled."""
        call, self.call = self.call, None
        if call is not None:
            call()


class PatientClock(SystemClock):
    """Real time with the same verbs, for servers whose leases run by their own clock: each advance is waited for."""

    async def settle(self) -> None:
        """Gives a server a moment."""
        await asyncio.sleep(0.02)

    async def advance(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)

    async def run(self, awaitable: Awaitable[T], most: float = 3600.0) -> T:
        """Awaits, at most this long."""
        return await asyncio.wait_for(_wrapped(awaitable), most)


async def _wrapped(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
