"""`Context`: what a handler may know and ask of the app while it works on one message."""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, overload

import msgspec

from catga.messages import Command, Event, Message, Query

if TYPE_CHECKING:
    from catga.envelope import Envelope

S = TypeVar("S")


class Later(msgspec.Struct, frozen=True, gc=False):
    """A message that waits: `due_ms` by the wall clock; `id` is what cancels it."""

    message: Message
    due_ms: int
    id: bytes
    ext: bytes | None = None
    deadline_ms: int = 0


class Context(msgspec.Struct, gc=False, eq=False):
    """One attempt at one message. What is published, enqueued or scheduled here leaves when the handler has committed.

    A handler asks for it by annotation:

    >>> from catga import Catga, Command, Context, Event
    >>> app = Catga("shop")
    >>> class Greet(Command[str]):
    ...     name: str
    >>> class Greeted(Event):
    ...     name: str
    >>> @app.handler(Greet)
    ... async def greet(cmd: Greet, ctx: Context) -> str:
    ...     ctx.publish(Greeted(cmd.name))
    ...     return f"hello {cmd.name}"
    """

    # Not tracked by the garbage collector (60 ns a message): nothing a context holds points back to it.
    _app: Any
    _out: Any = None
    """What was published: nothing, one message, or a list of several (a list for one costs a tenth of a send)."""
    _tx: Any = None
    _envelope: "Envelope | None" = None
    attempt: int = 1
    """1 for the first try; counts every immediate and delayed retry."""
    _id: bytes | None = None
    _stack: "AsyncExitStack | None" = None

    @property
    def id(self) -> str:
        """The message's id, 32 hexadecimal digits; every retry and redelivery of a durable message has the same."""
        return self._identity().hex()

    @property
    def headers(self) -> dict[str, str]:
        """What travelled beside the message; empty for one that never left the process."""
        return self._envelope.headers if self._envelope is not None else {}

    @property
    def tenant(self) -> str | None:
        """Whose message it is, if its sender said so; handed on to what is sent here."""
        return self._envelope.tenant if self._envelope is not None else None

    @property
    def correlation_id(self) -> str:
        """What all messages have in common that came of one; the id of the first of them, where nobody gave another."""
        return self._envelope.correlation_id if self._envelope is not None else self.id

    @property
    def causation_id(self) -> str | None:
        """The message whose handling sent this one."""
        return self._envelope.causation_id if self._envelope is not None else None

    @property
    def deadline(self) -> datetime | None:
        """When the message stops being worth handling, if its sender said so."""
        return self._envelope.deadline if self._envelope is not None else None

    @property
    def remaining(self) -> float | None:
        """Seconds until the deadline, if there is one; what is sent or enqueued here has no more than these."""
        if self._envelope is None or not self._envelope.deadline_ms:
            return None
        return max(0.0, (self._envelope.deadline_ms - self.now_ms()) / 1000)

    def new_id(self) -> str:
        """A new time-ordered id, 32 hexadecimal digits."""
        return self._app.ids.next(self._app.clock.wall_ms()).hex()  # type: ignore[no-any-return]

    def now_ms(self) -> int:
        """Milliseconds since the epoch by the app's clock: real, or virtual in a test."""
        return self._app.clock.wall_ms()  # type: ignore[no-any-return]

    def publish(self, event: Event, /) -> None:
        """Tells every handler of the event's type, once this handler has committed."""
        out = self._out
        if out is None:
            self._out = event
        elif out.__class__ is list:
            out.append(event)
        else:
            self._out = [out, event]

    def enqueue(self, command: Command[Any], /) -> None:
        """Asks for a command to be handled later, without a reply, once this handler has committed."""
        self.publish(command)  # type: ignore[arg-type]  # collected in the same way

    def schedule(
        self, message: Command[Any] | Event, /, *, delay: float | None = None, at: datetime | None = None
    ) -> str:
        """As `enqueue` or `publish`, `delay` seconds from now or at a moment; the id it gives cancels it."""
        later = self._app.later(message, delay, at)
        self.publish(later)
        return later.id.hex()  # type: ignore[no-any-return]

    @overload
    def send(self, message: Command[S], /) -> Coroutine[Any, Any, S]: ...
    @overload
    def send(self, message: Query[S], /) -> Coroutine[Any, Any, S]: ...
    def send(self, message: Any, /) -> Coroutine[Any, Any, Any]:
        """Asks now and waits for the reply; outside this handler's commit.

        Raises `WouldDeadlock` where this handler holds the store's write lock and the other needs it.
        """
        return self._app.send_within(self, message)  # type: ignore[no-any-return]

    def _identity(self) -> bytes:
        if self._id is not None:
            return self._id
        if self._envelope is not None:
            return self._envelope.id
        fresh: bytes = self._app.ids.next(self._app.clock.wall_ms())
        self._id = fresh
        return fresh

    async def _enter(self, provide: Callable[[], AbstractAsyncContextManager[Any]]) -> Any:
        """A value that lives until this message's outcome is known."""
        if self._stack is None:
            self._stack = AsyncExitStack()
        return await self._stack.enter_async_context(provide())

    def _discard(self) -> None:
        """A failed attempt leaves nothing behind."""
        self._out = None
        if self._tx is not None:
            self._tx.clear()


def published(ctx: Context) -> Sequence[Any]:
    """All that its handler published, enqueued and scheduled, in order."""
    out = ctx._out
    return () if out is None else out if out.__class__ is list else (out,)


async def leave(ctx: Context) -> None:
    """Ends what providers gave for this message alone; once its outcome is known."""
    if ctx._stack is not None:
        await ctx._stack.aclose()
