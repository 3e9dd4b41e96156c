"""`Live`: what an app tells the others now, and hears from them; at most once, with no store beside it."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from catga.envelope import Codec, Headers
from catga.mediator.carried import Carrier
from catga.mediator.handlers import Handler
from catga.mediator.pipeline import Call
from catga.messages import Event, Message
from catga.ports.bus import Bus, Topic

log: logging.Logger = logging.getLogger("catga.live")


class Live:
    """One app's side of a bus. Messages of a type are handled one after the other, as they come."""

    def __init__(self, app: Any, bus: Bus, codec: Codec, carrier: Carrier) -> None:
        self._app = app
        self._bus = bus
        self._codec = codec
        self._carrier = carrier
        self._calls: dict[tuple[type[Message], str | None], list[Call]] = {}
        self._told: set[tuple[str, str]] = set()
        self._heard = 0
        self._failed = 0
        self._refused: dict[str, int] = {}

    def add(self, handler: Handler, call: Call) -> None:
        """A subscriber, before the start."""
        self._calls.setdefault((handler.message, handler.group), []).append(call)

    async def start(self) -> None:
        """Listens."""
        for (message, group), calls in self._calls.items():
            topic = Topic(message.__catga__.channel or self._app.name, message.__catga__.name)
            await self._bus.listen(topic, group, partial(self._hear, calls))

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
            "refused": dict(self._refused),
            "missed": self._bus.missed(),
        }

    async def _hear(self, calls: Sequence[Call], frame: bytes) -> None:
        (item,) = self._codec.receive((frame,), self._app.clock.wall_ms())
        if not isinstance(item, tuple):
            self._refuse(item)
            return
        message, envelope = item
        self._heard += 1
        for call in calls:
            try:
                await self._carrier.call(call, message, envelope, None)
            except Exception as error:
                self._failed += 1
                if self._first(envelope.type, type(error).__qualname__):
                    log.exception(
                        "a subscriber of %s has failed; the next failures of this kind are only counted", envelope.type
                    )

    def _refuse(self, wrong: Any) -> None:
        code = str(getattr(wrong, "code", type(wrong).__name__))
        self._refused[code] = self._refused.get(code, 0) + 1
        if self._first("", code):
            log.error("a live message is refused; the next ones for this reason are only counted: %s", wrong)

    def _first(self, of: str, cause: str) -> bool:
        """Who can send a few can send millions: each cause is told of once."""
        first = (of, cause) not in self._told
        self._told.add((of, cause))
        return first
