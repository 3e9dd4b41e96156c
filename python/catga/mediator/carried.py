"""Messages that have an envelope although they never leave the process: their handlers read it, and what those send has
one too. The plans of messages without know nothing of this."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from catga.context import Context, Later, leave, published
from catga.envelope import Envelope
from catga.errors import DeadlineExceeded
from catga.mediator.events import fan_out
from catga.mediator.handlers import Handler
from catga.mediator.pipeline import Call
from catga.mediator.published import Taker, hand_over, taker_of
from catga.messages import Event, Message, Spec, key_getter
from catga.result import Err


class Carried(msgspec.Struct, frozen=True, gc=False):
    """A message with its envelope, where otherwise a message stands alone."""

    message: Message
    envelope: Envelope

    @property
    def __catga__(self) -> Spec:
        return self.message.__catga__


def carried_key(carried: Carried) -> bytes | None:
    """The key of the message in it."""
    return key_getter(carried.message.__class__)(carried.message)


def follower(app: Any, message: Message, parent: Envelope) -> Envelope:
    """Of a message that is sent while another one is handled."""
    deadline = 0 if isinstance(message, Event) else parent.deadline_ms
    return beside(app, message, None, deadline, parent.ext_of_followers())


def beside(app: Any, message: Message, id: bytes | None, deadline_ms: int, ext: bytes | None) -> Envelope:
    """Of a message that is sent now."""
    now = app.clock.wall_ms()
    spec = message.__catga__
    return Envelope(id or app.ids.next(now), spec.name, spec.version, spec.priority, now, now, deadline_ms, None, ext)


def check_deadline(app: Any, envelope: Envelope) -> None:
    """`DeadlineExceeded` where nobody wants it any more."""
    if envelope.deadline_ms and app.clock.wall_ms() > envelope.deadline_ms:
        raise DeadlineExceeded(
            f"{envelope.type} came after its deadline",
            where=f"message {envelope.id.hex()}",
            fix="nothing: its sender no longer wants it",
        )


class Carrier:
    """Calls handlers with an envelope. `publish` commits what they published, where the app has a store; otherwise those
    in `after` take it; `queue` is that of this process."""

    def __init__(
        self,
        app: Any,
        after: dict[type, Taker],
        queue: Callable[[Any], Awaitable[None]],
        publish: Callable[[Context], Awaitable[None]] | None,
    ) -> None:
        self._app = app
        self._queue = queue
        self._after = after
        self._publish = publish
        self._takers: dict[type[Message], tuple[list[Taker], list[Taker]]] = {}
        after[Carried] = self.take

    def add(self, handler: Handler, call: Callable[[], Call], batch: Taker | None) -> None:
        """Events reach it from here; `call` makes its pipeline, at the first event that has an envelope. To a `batch` the
        message goes alone: a list has many envelopes."""
        made: Call | None = None

        async def take(carried: Carried) -> None:
            nonlocal made
            if batch is not None:
                await batch(carried.message)
                return
            made = made or call()
            await self.call(made, carried.message, carried.envelope, None)

        following, beside = self._takers.setdefault(handler.message, ([], []))
        (beside if handler.concurrent else following).append(take)

    async def call(self, call: Call, message: Message, envelope: Envelope | None, id: bytes | None) -> Any:
        """The handler's reply, once what it published has left."""
        if envelope is not None:
            check_deadline(self._app, envelope)
        ctx = Context(self._app, None, None, envelope, 1, id)
        try:
            reply = await call(message, ctx)
            if reply.__class__ is not Err and ctx._out is not None:
                if self._publish is not None:
                    await self._publish(ctx)
                else:
                    await hand_over(self._after, [self._followed(item, ctx) for item in published(ctx)])
        finally:
            await leave(ctx)
        return reply

    async def take(self, carried: Carried) -> None:
        """An event to all its handlers, a command into the queue of this process."""
        kind = carried.message.__class__
        if kind in self._takers:
            await fan_out(kind.__name__, *self._takers[kind])(carried)
        elif not isinstance(carried.message, Event):
            taker_of(self._after, carried.message)
            await self._queue(carried)

    def _followed(self, item: Any, ctx: Context) -> Any:
        parent = ctx._envelope
        if parent is None:
            return item
        if item.__class__ is Later:
            return msgspec.structs.replace(item, ext=parent.ext_of_followers())
        return Carried(item, follower(self._app, item, parent))
