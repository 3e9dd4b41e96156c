"""Tracing: a span for one message in so many; the others pay for the decision alone."""

import logging
import math
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from catga.clock import Entropy, system_entropy
from catga.context import Context
from catga.envelope import Envelope
from catga.envelope.headers import with_trace
from catga.errors import ConfigurationError
from catga.mediator.handlers import Handler
from catga.mediator.pipeline import Call

log: logging.Logger = logging.getLogger("catga.tracing")

FAR = 1 << 60
"""Messages; never, in other words."""


class Span(msgspec.Struct, frozen=True):
    """One handling of one sampled message. The ids are hexadecimal, as W3C has them; `parent_id` may be empty."""

    name: str
    handler: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ms: int
    seconds: float
    attempt: int
    error: BaseException | None

    @property
    def traceparent(self) -> str:
        """The header that makes this span the parent of another."""
        return f"00-{self.trace_id}-{self.span_id}-01"


class Tracing:
    """Calls `hook` with the `Span` of each sampled message once it has been handled, or has failed.

    A message whose headers hold a W3C `traceparent` follows its sender's decision and belongs to its trace; any other
    is sampled with probability `rate`. What a sampled handler sends, and what it publishes durably, belongs to its span.
    A hook that fails is logged, and does not fail the message.

    >>> import asyncio
    >>> from catga import Catga, Command
    >>> from catga.middleware import Tracing
    >>> class Add(Command[int]):
    ...     a: int
    >>> app = Catga("sums", middleware=(Tracing(lambda span: print(span.name), rate=1.0),))
    >>> @app.handler(Add)
    ... async def add(cmd: Add) -> int:
    ...     return cmd.a + 1
    >>> async def main() -> int:
    ...     async with app:
    ...         return await app.send(Add(1))
    >>> asyncio.run(main())
    Add
    2
    """

    def __init__(self, hook: Callable[[Span], object], *, rate: float = 0.01, entropy: Entropy | None = None) -> None:
        if not 0 <= rate <= 1:
            raise ConfigurationError(f"Tracing(rate={rate}) is no probability", fix="give one from 0 (none) to 1 (all)")
        self._hook = hook
        self._rate = rate
        self._entropy = entropy or system_entropy()

    def compose(self, inner: Call, handler: Handler) -> Call:
        """The layer for one handler."""
        left = self._gap()

        def call(message: Any, ctx: Context) -> Coroutine[Any, Any, Any]:
            nonlocal left
            if ctx._envelope is not None and (header := ctx._envelope.headers.get("traceparent")) is not None:
                parent = parse(header)
                if parent is not None:
                    trace_id, parent_id, sampled = parent
                    return traced(message, ctx, trace_id, parent_id) if sampled else inner(message, ctx)
            if left:
                left -= 1
                return inner(message, ctx)
            left = self._gap()
            return traced(message, ctx, "", "")

        async def traced(message: Any, ctx: Context, trace_id: str, parent_id: str) -> Any:
            trace_id = trace_id or self._id(128)
            now = ctx._app.clock.monotonic
            span_id, start_ms, began = self._id(64), ctx.now_ms(), now()
            error: BaseException | None = None
            known = ctx._envelope
            if handler.batch is None:
                ctx._envelope = _under(ctx, handler, f"00-{trace_id}-{span_id}-01")
            try:
                return await inner(message, ctx)
            except BaseException as raised:
                error = raised
                # Its next try belongs to who sent it, not to this one.
                ctx._envelope = known
                raise
            finally:
                seconds = now() - began
                name = handler.message.__name__
                span = Span(name, handler.id, trace_id, span_id, parent_id, start_ms, seconds, ctx.attempt, error)
                # The exception's traceback holds this frame: without this they would wait for the garbage collector.
                del error
                self._tell(span)

        return call

    def _gap(self) -> int:
        """How many messages are passed over before the next that is sampled: one draw for all of them."""
        if self._rate in (0, 1):
            return FAR if self._rate == 0 else 0
        return int(min(math.log1p(-self._entropy.random()) / math.log1p(-self._rate), FAR))

    def _tell(self, span: Span) -> None:
        try:
            self._hook(span)
        except Exception:
            log.exception("the hook of Tracing failed")

    def _id(self, bits: int) -> str:
        # Zero is W3C's "invalid".
        return f"{self._entropy.getrandbits(bits) or 1:0{bits // 4}x}"


def _under(ctx: Context, handler: Handler, traceparent: str) -> Envelope:
    """What is sent from here on has this span as its parent."""
    known = ctx._envelope
    if known is not None:
        return msgspec.structs.replace(known, ext=with_trace(known.ext, known.id, traceparent))
    now, spec = ctx.now_ms(), handler.message.__catga__
    id = ctx._id or ctx._app.ids.next(now)
    ext = with_trace(None, id, traceparent)
    return Envelope(id, spec.name, spec.version, spec.priority, now, now, 0, None, ext)


def parse(header: str) -> tuple[str, str, bool] | None:
    """(trace id, parent id, sampled) of a `traceparent`, or None where it is malformed and must be ignored.

    >>> parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    ('0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331', True)
    """
    version, _, rest = header.partition("-")
    parts = rest.split("-")
    if len(parts) < 3 or not _hex(version, 2) or version == "ff" or (version == "00" and len(parts) > 3):
        return None
    trace_id, parent_id, flags = parts[:3]
    if not (_hex(trace_id, 32) and _hex(parent_id, 16) and _hex(flags, 2)):
        return None
    if not trace_id.strip("0") or not parent_id.strip("0"):
        return None
    return trace_id, parent_id, bool(int(flags, 16) & 1)


def _hex(text: str, length: int) -> bool:
    return len(text) == length and not set(text) - set("0123456789abcdef")
