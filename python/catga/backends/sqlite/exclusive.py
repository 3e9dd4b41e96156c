"""A handler's own time with the writing connection: limited, and undone whole."""

import asyncio
import sqlite3
from collections.abc import Awaitable
from typing import TypeVar

from catga.clock import Clock
from catga.errors import ForbiddenStatement, HoldLimitExceeded

T = TypeVar("T")


async def within(work: Awaitable[T], clock: Clock, seconds: float, where: str) -> T:
    """Awaits a handler that holds the write lock; it is cancelled after `seconds` of the clock. A `TimeoutError` of its
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
        f"a handler held the store's write lock for more than {seconds} s",
        where=where,
        why="every other writer waits for it",
        fix="do slow work before the Connection is used, or write through Transaction",
    )


def still_ours(connection: sqlite3.Connection) -> None:
    """After the handler: its settings of the connection are forgotten, and its transaction must still stand."""
    connection.row_factory = None
    connection.text_factory = str
    if not connection.in_transaction:
        raise ForbiddenStatement(
            "a statement of the handler ended its transaction",
            why="what it wrote after that is not one with its mark",
            fix="use OR ABORT instead of OR ROLLBACK, and RAISE(ABORT) instead of RAISE(ROLLBACK)",
        )
