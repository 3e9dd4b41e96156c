"""`Catga`: an app is a router that can be started."""

import os
from collections.abc import AsyncIterator, Coroutine, Sequence
from datetime import datetime
from typing import Any, Protocol, Self, TypeVar, overload, runtime_checkable

import msgspec

from catga import _core
from catga.clock import Clock, Entropy, SystemClock, system_entropy
from catga.context import Context, Later
from catga.delivery.delivery import Receipt
from catga.envelope import Headers, Wire, id_of
from catga.errors import (
    AppClosed,
    CatgaError,
    ConfigurationError,
    InvalidArgument,
    NoBus,
    NoHandler,
    NoStore,
    WouldDeadlock,
)
from catga.mediator.handlers import Retry
from catga.mediator.local import Queue
from catga.mediator.published import taker_of
from catga.mediator.router import Middleware, Router
from catga.messages import Command, Event, Message, Query, StreamQuery
from catga.running import NO_BUS, Running
from catga.transaction import Row

S = TypeVar("S")
FOREVER = 1e10
"""Seconds: three centuries; no delay is meant to be longer."""
T = TypeVar("T")
F = TypeVar("F")


@runtime_checkable
class Feature(Protocol):
    """What `include` takes beside routers: sagas, locks, projections…"""

    def check(self, app: "Catga") -> Sequence[ConfigurationError]:
        """Mistakes, before anything starts."""
        ...

    async def start(self, app: "Catga") -> None:
        """After the app's store is open, before it takes work."""
        ...

    async def stop(self, deadline: float) -> None:
        """After the app has stopped taking work; by a monotonic time."""
        ...

    def describe(self) -> dict[str, Any]:
        """What `catga describe` shows of it."""
        ...


class Catga(Router):
    """A messaging app: register handlers, then `async with app:` and `await app.send(…)`.

    >>> import asyncio
    >>> from catga import Catga, Command
    >>> class Add(Command[int]):
    ...     a: int
    ...     b: int
    >>> app = Catga("sums")
    >>> @app.handler(Add)
    ... async def add(cmd: Add) -> int:
    ...     return cmd.a + cmd.b
    >>> async def main() -> int:
    ...     async with app:
    ...         return await app.send(Add(1, 2))
    >>> asyncio.run(main())
    3

    `store`, `transport`, `blobs` and `bus` are URLs (or `CATGA_STORE`, `CATGA_TRANSPORT`, `CATGA_BLOBS`, `CATGA_BUS`) or objects of a backend;
    without a store the app works inside its process only, blobs are where payloads go that are too large to travel, and the bus carries what is `broadcast`. `concurrency` is how many durable messages of a channel are handled at once,
    `window_days` how long a message is known for a duplicate, `wire` how messages are written, `stop_within` how many seconds stopping may take.
    """

    def __init__(
        self,
        name: str,
        *,
        store: Any = None,
        transport: Any = None,
        blobs: Any = None,
        bus: Any = None,
        middleware: tuple[Middleware, ...] = (),
        messages: tuple[type[Message], ...] = (),
        retry: Retry = Retry(),
        queue: Queue = Queue(),
        wire: Wire = Wire(),
        concurrency: int = 16,
        window_days: int = 7,
        stop_within: float = 30.0,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        super().__init__(middleware=middleware)
        self.name = name
        self.store: Any = store if store is not None else os.environ.get("CATGA_STORE")
        self.transport: Any = transport if transport is not None else os.environ.get("CATGA_TRANSPORT")
        self.blobs: Any = blobs if blobs is not None else os.environ.get("CATGA_BLOBS")
        self.bus: Any = bus if bus is not None else os.environ.get("CATGA_BUS")
        self.messages = messages
        self.retry = retry
        self.queue = queue
        self.wire = wire
        self.concurrency = concurrency
        self.window_days = window_days
        self.stop_within = stop_within
        self.clock: Clock = clock or SystemClock()
        self.entropy: Entropy = entropy or system_entropy()
        self.ids: _core.Ids = _core.Ids(self.entropy.getrandbits(64))
        self.overrides: dict[Any, Any] = {}
        self.features: list[Feature] = []
        self._plans: dict[type[Message], Any] = {}
        self._running: Running | None = None

    # -- life ---------------------------------------------------------------------------------------------------------

    @overload
    def include(self, part: Router) -> Router: ...
    @overload
    def include(self, part: F) -> F: ...
    def include(self, part: Any) -> Any:
        """Mounts a router, or adds a feature; gives it back."""
        if isinstance(part, Router):
            self.mount(part)
        elif isinstance(part, Feature):
            self.features.append(part)
        else:
            raise ConfigurationError(
                f"{part!r} can be neither mounted nor included",
                fix="give a Router, or an object with check, start, stop and describe",
            )
        return part

    async def start(self, *, work: bool = True) -> None:
        """Checks everything, opens what is needed, begins to take work. `ConfigurationError` names all mistakes.

        With `work=False` it sends and publishes, and leaves durable work to other instances.
        """
        if self._running is not None:
            raise AppClosed(f"app {self.name!r} runs already", fix="start another instance of it")
        running = Running(self)
        await running.start(work)
        self._running = running
        self._plans = running.plans

    async def stop(self, within: float | None = None) -> None:
        """Stops taking, finishes or gives back, flushes, closes; within seconds. Stopping what does not run is nothing."""
        running, self._running = self._running, None
        self._plans = {}
        if running is not None:
            await running.stop(self.clock.monotonic() + (self.stop_within if within is None else within))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # -- verbs --------------------------------------------------------------------------------------------------------

    @overload
    def send(
        self, message: Command[S], /, *, id: str | None = None, headers: Headers | None = None
    ) -> Coroutine[Any, Any, S]: ...
    @overload
    def send(
        self, message: Query[S], /, *, id: str | None = None, headers: Headers | None = None
    ) -> Coroutine[Any, Any, S]: ...
    def send(self, message: Any, /, id: Any = None, headers: Headers | None = None) -> Coroutine[Any, Any, Any]:
        """The reply that the message's class declares.

        With an `id` (32 hexadecimal digits), sending again gives the stored reply of the first time, where the handler
        writes through `Transaction`: so ask again with the same one after `OutcomeUnknown`.
        """
        try:
            # One question for both: they are the same object where neither is given. And no name for the plan: each of
            # these costs 2 % of a send.
            if id is headers:
                return self._plans[type(message)](message)  # type: ignore[no-any-return]
        except KeyError:
            if type(message) in self._plans:
                raise
        if type(message) in self._plans:
            return self._alive().send_as(message, id, headers)
        # Raised at the await: a synchronous raise would leak the siblings in `gather`.
        return self._refuse(message)

    def iterate(self, query: StreamQuery[T], /, *, headers: Headers | None = None) -> AsyncIterator[T]:
        """The values of a stream query, as its handler yields them."""
        running = self._alive()
        if type(query) not in running.streams:
            raise _no_handler(self, query)
        return running.iterate(query, headers)

    async def enqueue(
        self,
        command: Command[Any],
        /,
        *,
        id: str | None = None,
        headers: Headers | None = None,
        within: object | None = None,
    ) -> Receipt:
        """Asks for a command to be handled later, without a reply. With a store the receipt means: committed.

        `within` is a transaction of your own in the store's database (an `asyncpg.Connection`, a `psycopg.AsyncConnection`,
        SQLAlchemy's `AsyncSession` or `AsyncConnection`): the command leaves if, and only if, you commit it, and the receipt
        is not durable until then. PostgreSQL only.
        """
        running = self._alive()
        if running.delivery is None:
            _needs_store(self, within)
            return await running.put(command, headers)
        return (await running.delivery.accept([command], None if id is None else id_of(id), headers, within))[0]

    async def enqueue_many(
        self, commands: Sequence[Command[Any]], /, *, headers: Headers | None = None, within: object | None = None
    ) -> list[Receipt]:
        """As `enqueue`, all in one commit."""
        running = self._alive()
        if running.delivery is None:
            _needs_store(self, within)
            return [await running.put(command, headers) for command in commands]
        return await running.delivery.accept(commands, None, headers, within)

    # Not keyword-only: such a default costs a tenth of the whole.
    async def publish(
        self, event: Event, /, headers: Headers | None = None, id: str | None = None, within: object | None = None
    ) -> Receipt:
        """Tells every handler of the event's type. With a store the receipt means: committed, and an event whose `id` came
        before changes nothing. Without one the handlers have run, and their failures are raised together as an
        `ExceptionGroup`. `within` as for `enqueue`."""
        running = self._alive()
        if running.delivery is None:
            _needs_store(self, within)
            if headers is None and id is None:
                await (running.after.get(type(event)) or taker_of(running.after, event))(event)
            else:
                await running.tell(event, id, headers or Headers())
            return Receipt(self.ids.next(self.clock.wall_ms()).hex(), False)
        return (await running.delivery.accept([event], None if id is None else id_of(id), headers, within))[0]

    async def broadcast(self, event: Event, /, *, headers: Headers | None = None) -> None:
        """Tells whoever subscribes to the event's type now, in all apps on the bus: at most once, and nobody says whether it
        arrived. What must not be lost is for `publish`."""
        live = self._alive().live
        if live is None:
            raise NoBus(f"app {self.name!r} has no bus", fix=NO_BUS)
        await live.tell(event, headers)

    async def schedule(
        self,
        message: Command[Any] | Event,
        /,
        *,
        delay: float | None = None,
        at: datetime | None = None,
        headers: Headers | None = None,
    ) -> str:
        """As `enqueue` or `publish`, `delay` seconds from now or at a moment; gives the id that cancels it. The seconds of
        `Headers(within=…)` count from that moment."""
        running = self._alive()
        later = self.later(message, delay, at)
        if headers is not None:
            later = msgspec.structs.replace(later, ext=headers.ext(), deadline_ms=headers.deadline_ms(later.due_ms))
        await running.schedule(later)
        return later.id.hex()

    async def cancel(self, id: str, /) -> bool:
        """Whether a scheduled message was still waiting, and now never leaves."""
        return await self._alive().cancel(id_of(id))

    async def fetch(self, sql: str, /, *args: Any) -> Sequence[Row]:
        """Committed rows of the app's store, read outside any handler."""
        delivery = self._alive().delivery
        if delivery is None:
            raise _no_store(self)
        return await delivery.fetch(sql, args)

    def statistics(self) -> dict[str, Any]:
        """Counts of what this instance has done; cheap enough to ask every second."""
        return self._alive().statistics()

    async def settled(self) -> None:
        """Waits until nothing is left to do: every message of the store (of all instances), or of this process's queue,
        has been handled or is a dead letter. What is scheduled for later does not count."""
        await self._alive().settled()

    # -- for contexts -------------------------------------------------------------------------------------------------

    def later(self, message: Command[Any] | Event, delay: float | None, at: datetime | None) -> Later:
        """A message with the moment it is due and the id that cancels it."""
        if (delay is None) == (at is None):
            raise InvalidArgument("a schedule needs either delay= or at=", fix="give one of them")
        if delay is not None and not 0 <= delay < FOREVER:
            raise InvalidArgument(f"a delay of {delay} s", fix=f"give seconds from 0 up to {FOREVER:,.0f}")
        now = self.clock.wall_ms()
        if at is not None and at.tzinfo is None:
            raise InvalidArgument(
                "at= has no time zone",
                why="the same words mean another moment on another machine",
                fix="give an aware datetime, such as datetime.now(UTC)",
            )
        due = now + int(delay * 1000) if delay is not None else int(at.timestamp() * 1000)  # type: ignore[union-attr]
        return Later(message, due, self.ids.next(now))

    def send_within(self, ctx: Context, message: Any) -> Coroutine[Any, Any, Any]:
        """`ctx.send`: refused where it would wait for the write lock that its own handler holds."""
        running = self._running
        if running is not None and type(message) in running.transactional and running.holds_lock(ctx):
            return _raise(
                WouldDeadlock(
                    f"{type(message).__name__} would wait for its own sender",
                    where=f"ctx.send({type(message).__name__})",
                    why="the sending handler holds the store's write lock through `Connection`, and this handler needs it",
                    fix="ctx.enqueue it, or write through `Transaction` in the sender",
                )
            )
        if running is None or ctx._envelope is None or type(message) not in self._plans:
            return self.send(message)
        return running.send_from(message, ctx._envelope)

    def _alive(self) -> Running:
        if self._running is None:
            raise AppClosed(
                f"app {self.name!r} is not running", fix="use it inside `async with app:`, or start it first"
            )
        return self._running

    def _refuse(self, message: Any) -> Coroutine[Any, Any, Any]:
        if self._running is None:
            return _raise(
                AppClosed(f"app {self.name!r} is not running", fix="use it inside `async with app:`, or start it first")
            )
        return _raise(_no_handler(self, message))


def _no_store(app: Catga) -> NoStore:
    return NoStore(f"app {app.name!r} has no store", fix="give it store='sqlite:///app.db', or set CATGA_STORE")


def _needs_store(app: Catga, within: object | None) -> None:
    if within is not None:
        raise _no_store(app)


async def _raise(error: Exception) -> Any:
    raise error


def _no_handler(app: Catga, message: Any) -> CatgaError:
    name = type(message).__name__
    if not isinstance(message, Message):
        return NoHandler(f"{name} is no message", fix="derive it from Command, Query, StreamQuery or Event")
    verb = {"event": "publish", "stream": "iterate"}.get(message.__catga__.kind)
    if verb is not None:
        return NoHandler(f"{name} is not for send", fix=f"use app.{verb}({name}(…))")
    return NoHandler(
        f"nothing handles {name} in app {app.name!r}",
        fix=f"write `@app.handler({name})` over an async function, or include the router that has it",
    )
