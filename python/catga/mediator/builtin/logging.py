"""Logging: a line for each failure, and for each success if asked; never a value of the message."""

import logging
from types import TracebackType
from typing import Any

from catga.context import Context
from catga.errors import CatgaError
from catga.mediator.handlers import Handler
from catga.mediator.pipeline import Call


class Logging:
    """Writes one line to `logger` (default: `catga.handlers`) at ERROR for each failure.

    It names the handler, the message's id where it has one, the attempt, how long it took, the exception's class and
    where it was raised. The exception's own text is left out: it often holds what the message held. With `successes` a
    line is written at DEBUG as well, where the logger is enabled for it.

    >>> import asyncio
    >>> from catga import Catga, Command
    >>> from catga.middleware import Logging
    >>> class Add(Command[int]):
    ...     a: int
    >>> app = Catga("sums", middleware=(Logging(successes=True),))
    """

    def __init__(self, logger: logging.Logger | None = None, *, successes: bool = False) -> None:
        self._log = logger or logging.getLogger("catga.handlers")
        self._successes = successes

    def compose(self, inner: Call, handler: Handler) -> Call:
        """The layer for one handler."""
        log, successes = self._log, self._successes
        what = f"{handler.message.__name__} in {handler.id}"

        async def call(message: Any, ctx: Context) -> Any:
            now = ctx._app.clock.monotonic
            began = now()
            try:
                reply = await inner(message, ctx)
            except Exception as error:
                log.error("%s failed: %s (%s)", what, _describe(error), _circumstances(ctx, now() - began))
                raise
            if successes and log.isEnabledFor(logging.DEBUG):
                log.debug("%s succeeded (%s)", what, _circumstances(ctx, now() - began))
            return reply

        return call


def _describe(error: Exception) -> str:
    code = f"[{error.code}] " if isinstance(error, CatgaError) else ""
    return f"{code}{type(error).__name__}{_place(error.__traceback__)}"


def _place(traceback: TracebackType | None) -> str:
    if traceback is None:
        return ""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    code = traceback.tb_frame.f_code
    return f" at {code.co_filename}:{traceback.tb_lineno} in {code.co_name}"


def _circumstances(ctx: Context, seconds: float) -> str:
    known = f"message {ctx._id.hex()}, " if ctx._id is not None else ""
    return f"{known}attempt {ctx.attempt}, {seconds * 1000:.1f} ms"
