"""Retry: a handler that failed runs again at once."""

from typing import Any

from catga.context import Context
from catga.errors import ConfigurationError
from catga.mediator.handlers import Handler
from catga.mediator.pipeline import Call


class Retry:
    """Runs what is inside it up to `immediate` times more after a failure of one of the kinds in `on`.

    What a failed attempt collected is discarded, and `ctx.attempt` counts up. A cancellation is no failure: it is never
    retried. Durable handlers have retries of their own, with waits: `app.handler(…, retry=catga.Retry(…))`.

    >>> import asyncio
    >>> from catga import Catga, Command, Context
    >>> from catga.middleware import Retry
    >>> class Fetch(Command[int]):
    ...     pass
    >>> app = Catga("shop")
    >>> @app.handler(Fetch, middleware=(Retry(2, on=(ConnectionError,)),))
    ... async def fetch(cmd: Fetch, ctx: Context) -> int:
    ...     if ctx.attempt < 3:
    ...         raise ConnectionError
    ...     return ctx.attempt
    >>> async def main() -> int:
    ...     async with app:
    ...         return await app.send(Fetch())
    >>> asyncio.run(main())
    3
    """

    def __init__(self, immediate: int = 2, *, on: tuple[type[Exception], ...] = (Exception,)) -> None:
        kinds: tuple[Any, ...] = on
        if immediate < 1:
            raise ConfigurationError(f"Retry({immediate}) never retries", fix="give 1 or more, or leave it out")
        if not all(issubclass(kind, Exception) for kind in kinds):
            raise ConfigurationError(
                "Retry was told to retry what is no Exception",
                why="a cancellation must reach whoever waits for it",
                fix="name classes derived from Exception in on=",
            )
        self._immediate = immediate
        self._on = on

    def compose(self, inner: Call, handler: Handler) -> Call:
        """The layer for one handler."""
        immediate, on = self._immediate, self._on

        async def call(message: Any, ctx: Context) -> Any:
            left = immediate
            while True:
                try:
                    return await inner(message, ctx)
                except Exception as error:
                    # Also after the last: an outer layer may turn the failure into a reply, and then it would leave.
                    ctx._discard()
                    if not left or not isinstance(error, on):
                        raise
                left -= 1
                ctx.attempt += 1

        return call
