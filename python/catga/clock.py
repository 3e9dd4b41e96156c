"""Time and chance come from outside, so that a whole application can run in simulation."""

import asyncio
import os
import random
import time
from collections.abc import Callable
from typing import Any, Protocol

from catga import _core


class Timer(Protocol):
    """What `Clock.call_at` gives back."""

    def cancel(self) -> Any:
        """Makes the call not happen."""


class Clock(Protocol):
    """Where an app reads the time and how it is woken; the only such place."""

    def wall_ms(self) -> int:
        """Milliseconds since the epoch: for what is stored and what people read. May step."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back: for durations, leases and timers."""
        ...

    def call_at(self, when: float, call: Callable[[], object]) -> Timer:
        """Calls once on the running loop at a monotonic time (seconds)."""
        ...


class SystemClock:
    """The machine's own time and the running loop's timer."""

    wall_ms: "staticmethod[[], int]" = staticmethod(_core.wall_ms)
    monotonic: "staticmethod[[], float]" = staticmethod(time.monotonic)

    def call_at(self, when: float, call: Callable[[], object]) -> Timer:
        """Through `loop.call_later`: loops need not share our monotonic origin."""
        return asyncio.get_running_loop().call_later(max(0.0, when - time.monotonic()), call)


class Bell:
    """Wakes everyone who waits, or lets each wait run out; several may wait at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: set[asyncio.Future[bool]] = set()

    def ring(self) -> None:
        """Ends every wait."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(True)

    async def wait(self, seconds: float) -> bool:
        """True when it rang, False after `seconds`."""
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        timer = self._clock.call_at(
            self._clock.monotonic() + seconds, lambda: None if waiter.done() else waiter.set_result(False)
        )
        try:
            return await waiter
        finally:
            timer.cancel()
            self._waiting.discard(waiter)


async def sleep(clock: Clock, seconds: float) -> None:
    """Waits by the given clock."""
    await Bell(clock).wait(seconds)


class Entropy(Protocol):
    """Where an app draws chance: `random.Random(seed)` satisfies it."""

    def random(self) -> float:
        """A number in [0, 1)."""
        ...

    def getrandbits(self, k: int, /) -> int:
        """`k` random bits."""
        ...


def system_entropy() -> random.Random:
    """A generator seeded by the operating system: fast, not for secrets."""
    return random.Random(int.from_bytes(os.urandom(16)))  # noqa: S311 - jitter and ids, no secrets
