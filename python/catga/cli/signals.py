"""The signals that ask a process to stop."""

import asyncio
import contextlib
import signal
from collections.abc import Callable


def on_stop(call: Callable[[], object]) -> None:
    """Calls on the running loop at SIGTERM and SIGINT, however busy that loop is kept."""
    loop = asyncio.get_running_loop()

    def ask(_number: int, _frame: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed: what was asked for has happened
            loop.call_soon_threadsafe(call)

    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, call)
        except NotImplementedError:  # on Windows
            signal.signal(number, ask)
