"""`Live`: what an app tells and asks the others now, and hears from them; with no store beside it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec

from catga.envelope import NAMED, Codec, Envelope, Headers
from catga.envelope.refusals import Refusals
from catga.errors import DeadlineExceeded, OutcomeUnknown
from catga.live import answers
from catga.mediator.carried import Carrier
from catga.mediator.handlers import Handler
from catga.mediator.pipeline import Call
from catga.mediator.timers import Timers
from catga.messages import Event, Message, reply_type
from catga.ports.bus import Bus, Topic

log: logging.Logger = logging.getLogger("catga.live")


PATIENCE = 30.0
"""Seconds for an answer, where the asker's message has no deadline."""


class Handle(Protocol):
    """Runs a message's handler as it would run for a caller of this process."""

    async def __call__(self, message: Message, id: bytes | None, envelope: Envelope | None, /) -> Any:
        """Its reply."""
        ...


class Live:
    """One app's side of a bus. Events of a type are handled one after the other, as they come; questions at once."""

    def __init__(self, app: Any, bus: Bus, codec: Codec, carrier: Carrier, timers: Timers, handle: Handle) -> None:
        self._app = app
        self._bus = bus
        self._codec = codec
        self._carrier = carrier
        self._timers = timers
        self._handle = handle
        self._answers: list[type[Message]] = []
        self._calls: dict[tuple[type[Message], str | None], list[Call]] = {}
        self._heard = 0
        self._failed = 0
        self._refusals = Refusals()

    def add(self, handler: Handler, call: Call) -> None:
        """A subscriber, before the start."""
        self._calls.setdefault((handler.message, handler.group), []).append(call)

    def answers(self, message: type[Message]) -> None:
        """Others may send it here; before the start."""
        self._answers.append(message)

    def plan(self, message: type[Message]) -> Callable[..., Coroutine[Any, Any, Any]]:
        """A function of (message, id, envelope) that asks who handles it elsewhere."""
        decode = msgspec.msgpack.Decoder(reply_type(message)).decode
        topic = self._topic(message)

        async def plan(message: Message, id: bytes | None = None, envelope: Envelope | None = None) -> Any:
            now = self._app.clock.wall_ms()
            own: bytes = self._app.ids.next(now) if id is None else id
            ext, deadline = (None, 0) if envelope is None else (envelope.ext, envelope.deadline_ms)
            seconds = (deadline - now) / 1000 if deadline else PATIENCE
            if seconds <= 0:
                raise DeadlineExceeded(f"{topic.type} was not sent: its deadline has passed")
            out = self._codec.encode(message, own, now, now, deadline, ext, 0 if id is None else NAMED)
            return answers.read(await self._ask(topic, out.frame, own, seconds), decode, f"{topic.type} {own.hex()}")

        return plan

    async def start(self) -> None:
        """Listens."""
        for message in self._answers:
            await self._bus.answer(self._topic(message), self._reply)
        for (message, group), calls in self._calls.items():
            await self._bus.listen(self._topic(message), group, partial(self._hear, calls))

    async def tell(self, event: Event, headers: Headers | None) -> None:
        """To whoever listens."""
        now = self._app.clock.wall_ms()
        ext, deadline = (None, 0) if headers is None else (headers.ext(), headers.deadline_ms(now))
        out = self._codec.encode(event, self._app.ids.next(now), now, 0, deadline, ext)
        await self._bus.tell(Topic(out.channel, event.__catga__.name), out.frame)

    def statistics(self) -> dict[str, Any]:
        """heard; failed handlers; refused by code: not readable, or not trusted; missed: came faster than they were handled."""
        return {
            "heard": self._heard,
            "failed": self._failed,
            "refused": dict(self._refusals.by_code),
            "missed": self._bus.missed(),
        }

    async def _hear(self, calls: Sequence[Call], frames: Sequence[bytes]) -> None:
        for item in self._codec.receive(frames, self._app.clock.wall_ms()):
            if isinstance(item, tuple):
                self._heard += 1
                await self._handle_live(calls, *item)
            else:
                self._refuse(item)

    async def _handle_live(self, calls: Sequence[Call], message: Message, envelope: Envelope) -> None:
        for call in calls:
            try:
                await self._carrier.call(call, message, envelope, None)
            except Exception as error:
                self._fail(envelope.type, error)

    async def _reply(self, frame: bytes) -> bytes:
        (item,) = self._codec.receive((frame,), self._app.clock.wall_ms())
        if not isinstance(item, tuple):
            self._refuse(item)
            return answers.failed(item)
        message, envelope = item
        try:
            return answers.replied(await self._handle(message, envelope.id, envelope))
        except Exception as error:
            self._fail(envelope.type, error)
            return answers.failed(error)

    async def _ask(self, topic: Topic, frame: bytes, id: bytes, seconds: float) -> bytes:
        asking = asyncio.ensure_future(self._bus.ask(topic, frame, seconds))
        late = False

        def end() -> None:
            nonlocal late
            late = True
            asking.cancel()

        timer = self._timers.after(seconds, end)
        try:
            return await asking
        except (asyncio.CancelledError, TimeoutError) as error:
            if not late and not isinstance(error, TimeoutError):
                raise
            raise OutcomeUnknown(
                f"no answer to {topic.type} within {seconds:g} s",
                where=f"message {id.hex()}",
                why="it may have been handled, or not",
                fix=f"send it again with id={id.hex()!r}: a handler that writes gives its stored reply",
            ) from error
        finally:
            self._timers.cancel(timer)
            asking.cancel()

    def _topic(self, message: type[Message]) -> Topic:
        return Topic(message.__catga__.channel or self._app.name, message.__catga__.name)

    def _fail(self, type: str, error: Exception) -> None:
        self._failed += 1
        if self._refusals.first(type, error.__class__.__qualname__):
            log.error(
                "a live handler of %s has failed; the next failures of this kind are only counted", type, exc_info=error
            )

    def _refuse(self, wrong: Exception) -> None:
        if self._refusals.add("", wrong):
            log.error("a live message is refused; the next ones for this reason are only counted: %s", wrong)
