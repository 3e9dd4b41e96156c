"""Timeout: a handler that takes too long is cancelled; one that never waits pays for no timer."""

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any, cast

from catga._core import Suspended, first_step
from catga.context import Context
from catga.errors import ConfigurationError, DeadlineExceeded
from catga.mediator.builtin.steps import resume
from catga.mediator.handlers import Handler
from catga.mediator.pipeline import Call
from catga.mediator.timers import Timers


class Timeout:
    """Cancels what is inside it when it has waited `seconds`, and raises `DeadlineExceeded`.

    The time runs from where the handler first waits for something: one that never does is not timed, and costs no timer
    and no task. Otherwise it does what `asyncio.timeout` does: a cancellation from outside stays one, and a handler
    that catches the cancellation and returns has its reply delivered.

    >>> import asyncio
    >>> from catga import Catga, Command
    >>> from catga.errors import DeadlineExceeded
    >>> from catga.middleware import Timeout
    >>> class Fetch(Command[int]):
    ...     pass
    >>> app = Catga("shop", middleware=(Timeout(0.01),))
    >>> @app.handler(Fetch)
    ... async def fetch(cmd: Fetch) -> int:
    ...     await asyncio.sleep(60)
    ...     return 1
    >>> async def main() -> None:
    ...     async with app:
    ...         try:
    ...             await app.send(Fetch())
    ...         except DeadlineExceeded as error:
    ...             print(error.what)
    >>> asyncio.run(main())
    the handler of Fetch took more than 0.01 s
    """

    def __init__(self, seconds: float) -> None:
        if not seconds > 0:
            raise ConfigurationError(f"Timeout({seconds}) lets nothing end in time", fix="give seconds above 0")
        self._seconds = seconds

    def compose(self, inner: Call, handler: Handler) -> Call:
        """The layer for one handler."""
        seconds = self._seconds
        # Made at the first wait, when there is a loop and a clock. It lives in this layer because a layer is composed
        # anew at every start: a wheel kept longer would wait for a timer of a loop that is closed.
        timers: Timers | None = None

        @types.coroutine
        def call(message: Any, ctx: Context) -> Generator[Any, Any, Any]:
            nonlocal timers
            running = inner(message, ctx)
            reply = first_step(running)
            if reply.__class__ is not Suspended:
                return reply
            if timers is None:
                timers = Timers(ctx._app.clock)
            return (yield from _Limited(handler, seconds, timers).rest(running, reply.on))

        return cast(Call, call)


class _Limited:
    """One handling that has begun to wait: the bookkeeping of `asyncio.timeout`."""

    def __init__(self, handler: Handler, seconds: float, timers: Timers) -> None:
        self._handler = handler
        self._seconds = seconds
        self._timers = timers
        self._expired = False

    def rest(self, running: Coroutine[Any, Any, Any], waits_for: Any) -> Generator[Any, Any, Any]:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("Timeout needs a task to cancel")
        self._task = task
        asked = task.cancelling()
        timer = self._timers.after(self._seconds, self._expire)
        try:
            reply = yield from resume(running, waits_for)
        except asyncio.CancelledError as error:
            # More requests than there were before, besides ours: somebody outside wants the task to end.
            if self._expired and task.uncancel() <= asked:
                raise self._exceeded() from error
            raise
        except BaseException:
            if self._expired:
                task.uncancel()
            raise
        else:
            if self._expired:
                task.uncancel()
            return reply
        finally:
            self._timers.cancel(timer)

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def _exceeded(self) -> DeadlineExceeded:
        name = self._handler.message.__name__
        return DeadlineExceeded(
            f"the handler of {name} took more than {self._seconds:g} s",
            where=self._handler.where,
            fix="give Timeout more seconds, or let the handler do less",
        )
