"""A million timers: put in and fired, and what the loop feels when half of them are cancelled."""

import asyncio
import gc
import heapq
import random
import time
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from benches.runner import Group, Row, fixed
from catga._core import Wheel
from catga.clock import SystemClock
from catga.mediator.timers import Timers

PENDING = 1_000_000
# None may be due before all are in; then they are waited for, all together and untimed.
HEADROOM, SPREAD = 3.0, 0.5
_CHANCE = random.Random(1)
DELAYS = [HEADROOM + SPREAD * _CHANCE.random() for _ in range(PENDING)]
HOUR = 3600.0
TURNS = 2_000


class Given:
    """A clock that stands until it is moved, so that nothing has to be waited for."""

    wall_ms = staticmethod(lambda: 0)

    def __init__(self) -> None:
        self.now = 1000.0
        self.call: Callable[[], object] | None = None

    def monotonic(self) -> float:
        """Where it stands."""
        return self.now

    def call_at(self, when: float, call: Callable[[], object]) -> "Given":
        """Keeps the one call that is armed."""
        self.call = call
        return self

    def cancel(self) -> None:
        """What was armed is not."""
        self.call = None


class Countdown:
    """Called by each timer."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.all = asyncio.get_running_loop().create_future()

    def __call__(self) -> None:
        self.left -= 1
        if not self.left:
            self.all.set_result(None)


async def by_the_loop() -> float:
    """loop.call_at, ns a timer."""
    loop = asyncio.get_running_loop()
    fired = Countdown(PENDING)
    base, start = loop.time(), perf_counter()
    for delay in DELAYS:
        loop.call_at(base + delay, fired)
    took = perf_counter() - start
    time.sleep(max(0.0, base + HEADROOM + SPREAD + 0.01 - loop.time()))  # noqa: ASYNC251 - the loop must not see them yet
    start = perf_counter()
    await fired.all
    return (took + perf_counter() - start) / PENDING * 1e9


def by_our_timers() -> float:
    """The same through the wheel, as the library uses it."""
    clock = Given()
    timers = Timers(clock)
    fired = Countdown(PENDING)
    start = perf_counter()
    for delay in DELAYS:
        timers.after(delay, fired)
    clock.now += HEADROOM + SPREAD + 0.01
    assert clock.call is not None
    clock.call()
    took = perf_counter() - start
    assert not fired.left
    return took / PENDING * 1e9


def by_the_wheel() -> float:
    """The wheel alone: no callback, no clock."""
    wheel: Wheel[object] = Wheel(0)
    deadlines = [int(delay * 1000) for delay in DELAYS]
    start = perf_counter()
    for deadline in deadlines:
        wheel.insert(deadline, wheel)
    assert len(wheel.drain(int((HEADROOM + SPREAD) * 1000))) == PENDING
    return (perf_counter() - start) / PENDING * 1e9


def by_heapq() -> float:
    """heapq with (deadline, number, item)."""
    heap: list[tuple[float, int, object]] = []
    start = perf_counter()
    for number, delay in enumerate(DELAYS):
        heapq.heappush(heap, (delay, number, heap))
    while heap:
        heapq.heappop(heap)
    return (perf_counter() - start) / PENDING * 1e9


async def longest_gap(after: Callable[[float, Callable[[], Any]], Any], cancel: Callable[[Any], Any]) -> float:
    """The longest time between two turns of the loop, in ms, after half of a million timers were cancelled."""
    keys = [after(HOUR + number, _nothing) for number in range(PENDING)]
    for key in keys[: PENDING // 2 + 1]:
        cancel(key)
    gc.collect()
    longest, before = 0.0, perf_counter()
    for _ in range(TURNS):
        await asyncio.sleep(0)
        now = perf_counter()
        longest, before = max(longest, now - before), now
    for key in keys[PENDING // 2 + 1 :]:
        cancel(key)
    await asyncio.sleep(0)
    return longest * 1000


def gap_by_the_loop() -> Awaitable[float]:
    """loop.call_later."""
    return longest_gap(asyncio.get_running_loop().call_later, lambda handle: handle.cancel())


async def gap_by_our_timers() -> float:
    """The wheel with the loop's one timer armed."""
    timers = Timers(SystemClock())
    longest = await longest_gap(timers.after, timers.cancel)
    timers.clear()
    return longest


def _nothing() -> None:
    """Never called."""


def fired_rows() -> list[Row]:
    """ns for one timer put in and fired."""
    return [Row("catga Timers", by_our_timers), Row("loop.call_at", by_the_loop)]


def alone_rows() -> list[Row]:
    """The same without loop, clock and callback."""
    return [Row("catga Wheel", by_the_wheel), Row("heapq", by_heapq)]


def gap_rows() -> list[Row]:
    """Longest gap of the loop in ms."""
    return [Row("catga Timers", gap_by_our_timers), Row("loop.call_later", gap_by_the_loop)]


GROUPS = [
    Group("one million timers, put in and fired", fixed(fired_rows), rounds=7),
    Group("one million deadlines, in and out", fixed(alone_rows), loops=("uvloop",), rounds=7),
    Group("half of a million timers cancelled, longest gap", fixed(gap_rows), unit="ms", rounds=7),
]
