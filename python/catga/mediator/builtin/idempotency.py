"""Idempotency: a message that comes twice is handled once, within this process."""

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator, Hashable
from typing import Any, cast

from catga._core import Suspended, first_step
from catga.context import Context
from catga.errors import ConfigurationError
from catga.mediator.builtin.steps import resume
from catga.mediator.handlers import Handler
from catga.mediator.pipeline import Call


class Idempotency:
    """Gives the reply of the first time to a message with the same key, for `ttl` seconds.

    It keeps at least the last `size` replies, and at most twice as many.

    `key` is a function of the message (None for one that may repeat); without it the `id=` of `send` is the key. A
    duplicate that comes while the first is being handled waits for it; where that one fails or is cancelled, the next
    takes its turn. Replies of `Err` are kept as well: they are answers. Messages that came from a store pass through:
    its own marks know them for a week and beyond a crash; and a reply whose publications a store has still to commit
    is not kept, since they may yet be lost.

    >>> import asyncio
    >>> from catga import Catga, Command
    >>> from catga.middleware import Idempotency
    >>> class Charge(Command[int]):
    ...     order: str
    >>> charged: list[str] = []
    >>> app = Catga("shop")
    >>> @app.handler(Charge, middleware=(Idempotency(lambda charge: charge.order),))
    ... async def charge(cmd: Charge) -> int:
    ...     charged.append(cmd.order)
    ...     return len(charged)
    >>> async def main() -> list[int]:
    ...     async with app:
    ...         return [await app.send(Charge("a")), await app.send(Charge("a")), await app.send(Charge("b"))]
    >>> asyncio.run(main())
    [1, 1, 2]
    """

    def __init__(
        self, key: Callable[[Any], Hashable | None] | None = None, *, size: int = 10_000, ttl: float = 3600.0
    ) -> None:
        if size < 1 or not ttl > 0:
            raise ConfigurationError(f"Idempotency(size={size}, ttl={ttl}) keeps nothing", fix="give both above 0")
        self._key = key
        self._size = size
        self._ttl = ttl

    def compose(self, inner: Call, handler: Handler) -> Call:
        """The layer for one handler; what it remembers is gone when the app stops."""
        if handler.batch is not None or handler.kind == "stream":
            # A store knows each message of a list, and the values of a stream can be read only once.
            return inner
        once = _once(inner, self._key, self._size, self._ttl)

        def by_id(message: Any, ctx: Context) -> Coroutine[Any, Any, Any]:
            return inner(message, ctx) if ctx._id is None else once(message, ctx)

        return by_id if self._key is None else once


def _once(inner: Call, key_of: Callable[[Any], Hashable | None] | None, size: int, ttl: float) -> Call:
    # Two generations: a full young one becomes the old one, and the old one is forgotten. An ordered dict that
    # drives out its oldest with each new reply costs three times as much.
    young: dict[Hashable, tuple[float, Any]] = {}
    old: dict[Hashable, tuple[float, Any]] = {}
    flights: dict[Hashable, list[asyncio.Future[None]] | None] = {}

    @types.coroutine
    def once(message: Any, ctx: Context) -> Generator[Any, Any, Any]:
        nonlocal young, old
        key = ctx._id if key_of is None else key_of(message)
        # Of what was delivered durably the inbox knows; an envelope alone may have been given at the edge.
        if key is None or (ctx._envelope is not None and ctx._tx is not None):
            return (yield from cast("Generator[Any, Any, Any]", inner(message, ctx)))
        while True:
            found = young.get(key)
            if found is None and (found := old.get(key)) is not None:
                # As young as if it were new, so that what is asked for stays; and counted like it.
                young[key] = found
                if len(young) >= size:
                    young, old = {}, young
            if found is not None and ctx._app.clock.monotonic() < found[0]:
                return found[1]
            if not flights or key not in flights:
                break
            yield from _landing(flights, key)
        running = inner(message, ctx)
        reply = first_step(running)
        if reply.__class__ is Suspended:
            # Only now can a duplicate come before this one has ended.
            flights[key] = None
            try:
                reply = yield from resume(running, reply.on)
            finally:
                waiting = flights.pop(key)
                if waiting is not None:
                    _landed(waiting)
        if ctx._out is None or ctx._app.store is None:
            young[key] = (ctx._app.clock.monotonic() + ttl, reply)
            if len(young) >= size:
                young, old = {}, young
        return reply

    return cast(Call, once)


def _landing(flights: dict[Hashable, list[asyncio.Future[None]] | None], key: Hashable) -> asyncio.Future[None]:
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = flights[key]
    if waiting is None:
        flights[key] = [waiter]
    else:
        waiting.append(waiter)
    return waiter


def _landed(waiting: list[asyncio.Future[None]]) -> None:
    # All of them: the first to run looks again, and where nothing was kept it is the one to handle.
    for waiter in waiting:
        if not waiter.done():
            waiter.set_result(None)
