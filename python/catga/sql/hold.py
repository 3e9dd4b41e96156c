"""A handler's own time in a transaction that it holds open: limited."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from catga.clock import Clock
from catga.errors import HoldLimitExceeded

T = TypeVar("T")


async def within(work: Awaitable[T], clock: Clock, seconds: float, where: str) -> T:
    """Awaits a handler that holds a transaction open; it is cancelled after `seconds` of the clock. A `TimeoutError` of its
    own stays one."""
    task = asyncio.current_task()
    assert task is not None
    late: list[bool] = []

    def stop() -> None:
        late.append(True)
        task.cancel()

    timer = clock.call_at(clock.monotonic() + seconds, stop)
    try:
        result = await work
    except asyncio.CancelledError:
        # Where somebody else has asked for it as well, it stays a cancellation.
        if not late or task.uncancel() > 0:
            raise
    else:
        if not late:
            return result
        task.uncancel()
    finally:
        timer.cancel()
    raise HoldLimitExceeded(
        f"a handler held its transaction open for more than {seconds} s",
        where=where,
        why="others wait for what it has locked",
        fix="do slow work before the Connection is used, or write through Transaction",
    )
