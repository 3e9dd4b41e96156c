"""From another thread to the loop: our ring, the deque with one wake-up a batch, and queues made for it."""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import culsans
import janus

from benches.runner import Group, Row, fixed
from catga._core import Ring

COUNT = 100_000
MOST = 1024
ITEM = object()


async def handed_over(count: int, push: Callable[[Any], Any], arrived: Callable[[], Awaitable[Any]]) -> None:
    """One thread pushes `count` items; ends when the loop has them all."""
    thread = threading.Thread(target=_push, args=(count, push))
    thread.start()
    await arrived()
    thread.join()


def _push(count: int, push: Callable[[Any], Any]) -> None:
    for _ in range(count):
        push(ITEM)


def ring() -> Callable[[int], Awaitable[None]]:
    """Ours, bounded."""

    async def timed(count: int) -> None:
        loop = asyncio.get_running_loop()
        all_here = loop.create_future()
        left = count

        def drain() -> None:
            nonlocal left
            taken = len(queue.drain(MOST))
            left -= taken
            if taken == MOST:
                loop.call_soon(drain)
            elif not left:
                all_here.set_result(None)

        queue: Ring[object] = Ring(1 << 17, lambda: loop.call_soon_threadsafe(drain))
        await handed_over(count, queue.push, lambda: all_here)

    return timed


def coalesced() -> Callable[[int], Awaitable[None]]:
    """A deque without a bound; the thread that finds the flag down raises it and wakes the loop."""

    async def timed(count: int) -> None:
        loop = asyncio.get_running_loop()
        all_here = loop.create_future()
        left = count
        queue: deque[object] = deque()
        woken = False

        def push(item: object) -> None:
            nonlocal woken
            queue.append(item)
            if not woken:
                woken = True
                loop.call_soon_threadsafe(drain)

        def drain() -> None:
            nonlocal woken, left
            woken = False
            taken = [queue.popleft() for _ in range(len(queue))]
            left -= len(taken)
            if not left:
                all_here.set_result(None)

        await handed_over(count, push, lambda: all_here)

    return timed


def each() -> Callable[[int], Awaitable[None]]:
    """A wake-up for every item."""

    async def timed(count: int) -> None:
        loop = asyncio.get_running_loop()
        all_here = loop.create_future()
        left = count

        def take(_: object) -> None:
            nonlocal left
            left -= 1
            if not left:
                all_here.set_result(None)

        await handed_over(count, lambda item: loop.call_soon_threadsafe(take, item), lambda: all_here)

    return timed


def two_sided(make: Callable[[], Any]) -> Callable[[int], Awaitable[None]]:
    """janus and culsans: a synchronous and an asynchronous side."""

    async def timed(count: int) -> None:
        queue = make()

        async def take() -> None:
            get = queue.async_q.get
            for _ in range(count):
                await get()

        await handed_over(count, queue.sync_q.put, take)
        if hasattr(queue, "aclose"):
            await queue.aclose()

    return timed


def rows() -> list[Row]:
    """All without a bound that is reached."""
    return [
        Row("catga Ring", ring(), COUNT),
        Row("deque, coalesced call_soon_threadsafe", coalesced(), COUNT),
        Row("call_soon_threadsafe for each", each(), COUNT // 10),
        Row("janus", two_sided(janus.Queue), COUNT // 20),
        Row("culsans", two_sided(culsans.Queue), COUNT // 20),
    ]


GROUPS = [Group("thread to loop", fixed(rows), rounds=15)]
