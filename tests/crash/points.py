"""Named places where a worker may die, around every step that holds something. Wrapped from outside: the library has no
code for its own tests."""

import functools
import os
import signal
from collections.abc import Callable
from typing import Any

from catga.backends.sqlite.bookkeeping import Bookkeeping
from catga.backends.sqlite.database import Database
from catga.backends.sqlite.store import SqliteStore
from catga.backends.sqlite.writes import Writes
from catga.delivery.commits import Commits
from catga.delivery.committer import Committer
from catga.delivery.intake import Intake
from catga.delivery.retries import Retries
from catga.delivery.run import Runner
from catga.queues import LeasedConsumer

POINTS: dict[str, tuple[type, str, str]] = {
    "received, not looked up": (Intake, "take", "before"),
    "looked up, not run": (Intake, "take", "after"),
    "run, not committed": (Runner, "unit", "after"),
    "handed to the committer": (Committer, "submit", "before"),
    "lock held, nothing written": (Database, "begin", "after"),
    "statements run, marks not written": (Bookkeeping, "write", "before"),
    "all written, not committed": (Writes, "apply_hopefully", "after"),
    "committed, nobody told": (Database, "commit", "after"),
    "committed, lanes not freed": (Commits, "ended", "before"),
    "ended": (Commits, "ended", "after"),
    "lease claimed": (SqliteStore, "claim", "after"),
    "retry taken from the parked": (Retries, "_take", "after"),
    "read from the queue": (LeasedConsumer, "_look", "after"),
}


def die_at(point: str, passes: int, busy: Callable[[], bool], tell: Callable[[int], None]) -> None:
    """Arms one point: the process kills itself the `passes`-th time it comes by with work in hand, after telling which
    one it was."""
    owner, name, when = POINTS[point]
    original = getattr(owner, name)
    left = passes

    def pass_by() -> None:
        nonlocal left
        left -= busy()
        if left == 0:
            tell(list(POINTS).index(point) + 1)
            os.kill(os.getpid(), signal.SIGKILL)

    if original.__code__.co_flags & 0x80:

        @functools.wraps(original)
        async def waits(*args: Any, **kwargs: Any) -> Any:
            if when == "before":
                pass_by()
            result = await original(*args, **kwargs)
            if when == "after":
                pass_by()
            return result

        setattr(owner, name, waits)
    else:

        @functools.wraps(original)
        def runs(*args: Any, **kwargs: Any) -> Any:
            if when == "before":
                pass_by()
            result = original(*args, **kwargs)
            if when == "after":
                pass_by()
            return result

        setattr(owner, name, runs)
