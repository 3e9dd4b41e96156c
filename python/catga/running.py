"""A started app: what was registered, checked and composed, and what was opened for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from catga.backends import backend_of
from catga.clock import sleep
from catga.context import Context, Later
from catga.delivery.delivery import Delivery, Receipt
from catga.delivery.work import Target
from catga.envelope import Codec, Envelope, Headers, id_of
from catga.errors import AppClosed, ConfigurationError, HandlerDefinitionError, NoBus, NoHandler, NoStore
from catga.live.live import Live
from catga.mediator.batches import LocalBatches
from catga.mediator.carried import Carried, Carrier, beside, check_deadline, follower
from catga.mediator.events import fan_out
from catga.mediator.handlers import Handler
from catga.mediator.local import LocalQueue
from catga.mediator.pipeline import Call
from catga.mediator.plans import CONTEXT, TRANSACTION, Argument, call_of, pure_plan, stream_plan
from catga.mediator.providers import Providers
from catga.mediator.published import Taker, hand_over, taker_of
from catga.mediator.registry import Registry
from catga.mediator.timers import Timers
from catga.messages import Event, Message, key_getter
from catga.ports.blobs import Blobs
from catga.ports.bus import Bus
from catga.ports.store import Store
from catga.ports.transport import Transport
from catga.transaction import Connection, Transaction

if TYPE_CHECKING:
    from catga.app import Catga


NO_BUS = "give the app bus='nats://host:4222', or set CATGA_BUS"
"""What to do about it."""


class Running:
    """Made by `start`, thrown away by `stop`: an app can be started again."""

    def __init__(self, app: "Catga") -> None:
        self._app = app
        self.plans: dict[type[Message], Any] = {}
        self.streams: dict[type[Message], Callable[..., Any]] = {}
        self.after: dict[type, Taker] = {}
        self.transactional: set[type[Message]] = set()
        self.delivery: Delivery | None = None
        self.live: Live | None = None
        self.timers: Timers = Timers(app.clock)
        self._local = LocalQueue(app.queue, app.clock, self._run_local)
        self._batches: list[LocalBatches] = []
        self._opened = AsyncExitStack()
        self._scheduled: dict[bytes, int] = {}
        self._due_tasks: set[asyncio.Future[None]] = set()
        self._calls: dict[type[Message], Call] = {}
        self._deadline = app.clock.monotonic() + app.stop_within
        self.registry: Registry

    async def start(self, work: bool) -> None:
        """All mistakes are raised together; what was opened before one is closed again."""
        app = self._app
        self.registry = Registry(app.registrations(), app.upcasters(), app.messages)
        mistakes = [*self.registry.check(), *app.wire.check(app.window_days, app.blobs is not None)]
        for feature in app.features:
            mistakes += feature.check(app)
        store = backend_of("store", app.store, app.clock, mistakes)
        transport = backend_of("transport", app.transport, app.clock, mistakes)
        blobs = backend_of("blobs", app.blobs, app.clock, mistakes)
        bus = backend_of("bus", app.bus, app.clock, mistakes)
        if blobs is not None and store is not None and blobs.blobs_id == store.store_id:
            mistakes.append(
                ConfigurationError(
                    "the blobs and the store are one file",
                    where="blobs=",
                    why="a handler that holds the store's write lock could not put its payload anywhere",
                    fix="give the blobs a file of their own: blobs='sqlite:///blobs.db'",
                )
            )
        providers = Providers(app.providers(), app.overrides)
        mistakes += await providers.resolve()
        bound: list[tuple[Handler, Sequence[Any], list[Argument]]] = []
        for handler, middleware in self.registry.handlers:
            known: dict[Any, Argument] = {Context: CONTEXT}
            if app.store is not None:
                known |= {Transaction: TRANSACTION, Connection: TRANSACTION}
            arguments, wrong = providers.arguments_of(handler, known)
            mistakes += check_live(app, handler) or check_writing(app, store, handler) or wrong
            bound.append((handler, middleware, arguments))
        if mistakes:
            raise ConfigurationError.together(app.name, mistakes)
        try:
            if store is not None:
                await self._open(store, transport, blobs)
            if bus is not None:
                await bus.open()
                self._opened.push_async_callback(bus.close)
            self._compose(bound, bus)
            for feature in app.features:
                await feature.start(app)
                self._opened.push_async_callback(self._stop_feature, feature)
            if self.delivery is not None:
                await self.delivery.start(self._targets, work)
            if self.live is not None and work:
                await self.live.start()
        except BaseException:
            await self._opened.aclose()
            raise

    async def stop(self, deadline: float) -> None:
        """Within the deadline what runs is finished; then it is cancelled or given back."""
        self._deadline = deadline
        try:
            if self.delivery is not None:
                await self.delivery.stop(deadline)
            self.timers.clear()
            await self._local.stop(deadline)
            for batches in self._batches:
                await batches.stop()
        finally:
            await self._opened.aclose()

    async def send_as(self, message: Message, text: str | None, headers: Headers | None) -> Any:
        """`send` with an id of the caller's, or with headers: a handler that writes gives its stored reply the second
        time that an id comes."""
        id = None if text is None else id_of(text)
        return await self._call(message, id, None if headers is None else self._beside(message, id, headers))

    def iterate(self, query: Message, headers: Headers | None) -> AsyncIterator[Any]:
        """The values of a stream query."""
        plan = self.streams[type(query)]
        values: AsyncIterator[Any] = plan(query) if headers is None else plan(query, self._beside(query, None, headers))
        return values

    async def send_from(self, message: Message, parent: Envelope) -> Any:
        """`send` out of a handler whose message has an envelope."""
        return await self._call(message, None, follower(self._app, message, parent))

    async def _call(self, message: Message, id: bytes | None, envelope: Envelope | None) -> Any:
        if (call := self._calls.get(type(message))) is not None:
            return await self._carrier.call(call, message, envelope, id)
        if envelope is not None:
            check_deadline(self._app, envelope)
        return await self.plans[type(message)](message, id, envelope)

    def _beside(self, message: Message, id: bytes | None, headers: Headers) -> Envelope:
        deadline = headers.deadline_ms(self._app.clock.wall_ms())
        return beside(self._app, message, id, deadline, headers.ext())

    async def tell(self, event: Event, text: str | None, headers: Headers) -> None:
        """To its handlers in this process."""
        id = None if text is None else id_of(text)
        await self._carrier.take(Carried(event, self._beside(event, id, headers)))

    async def put(self, message: Message, headers: Headers | None = None) -> Receipt:
        """Into the queue of this process."""
        if type(message) not in self.plans and not isinstance(message, Event):
            raise NoHandler(
                f"nothing handles {type(message).__name__} in app {self._app.name!r}",
                fix=f"write `@app.handler({type(message).__name__})` over an async function",
            )
        await self._local.put(message if headers is None else Carried(message, self._beside(message, None, headers)))
        return Receipt(self._app.ids.next(self._app.clock.wall_ms()).hex(), False)

    async def schedule(self, later: Later) -> None:
        """In the store, or on this process's wheel."""
        if self.delivery is not None:
            await self.delivery.schedule(later)
            return
        seconds = (later.due_ms - self._app.clock.wall_ms()) / 1000
        self._scheduled[later.id] = self.timers.after(max(0.0, seconds), lambda: self._due(later))

    async def cancel(self, id: bytes) -> bool:
        """Whether it was still waiting."""
        if self.delivery is not None:
            return await self.delivery.cancel(id)
        key = self._scheduled.pop(id, None)
        return key is not None and self.timers.cancel(key)

    async def settled(self) -> None:
        """Polls the store every 10 ms; inside one process, the queue."""
        while await self.pending():
            await sleep(self._app.clock, 0.01)

    async def pending(self) -> int:
        """What is left to do; counted only as far as it matters."""
        return await self.delivery.pending() if self.delivery is not None else self._local.busy()

    def holds_lock(self, ctx: Context) -> bool:
        """Whether this context's handler is inside a `Connection` transaction."""
        return isinstance(ctx._tx, Connection)

    def statistics(self) -> dict[str, Any]:
        """Of delivery, or of the queue in this process; and of what is heard live."""
        counts = self.delivery.statistics() if self.delivery is not None else self._local.statistics()
        return counts if self.live is None else counts | {"live": self.live.statistics()}

    # -- composing ----------------------------------------------------------------------------------------------------

    async def _open(self, store: Store, transport: Transport | None, blobs: Blobs | None) -> None:
        app = self._app
        await store.open()
        self._opened.push_async_callback(store.close)
        if (
            transport is None
            or not transport.capabilities.accepts_durably
            or transport.capabilities.store_id == store.store_id
        ):
            # What cannot keep a message must not take it over from the store: its own queue serves it.
            transport = store.queue()
        await transport.open()
        self._opened.push_async_callback(transport.close)
        if blobs is not None:
            await blobs.open()
            self._opened.push_async_callback(blobs.close)
        limit = transport.capabilities.max_bytes
        codec = Codec(self.registry.messages, app.name, self.registry.upcasts, app.wire, limit, blobs is not None)
        self.delivery = Delivery(
            app, codec, store, transport, blobs, concurrency=app.concurrency, window_days=app.window_days
        )

    def _compose(self, bound: Sequence[tuple[Handler, Sequence[Any], list[Argument]]], bus: Bus | None) -> None:
        self._targets: dict[str, dict[type[Message], list[Target]]] = {}
        app = self._app
        self._carrier = Carrier(app, self.after, self._local.put, None if self.delivery is None else self._publish)
        if bus is not None:
            codec = Codec(self.registry.messages, app.name, self.registry.upcasts, app.wire, bus.max_bytes)
            self.live = Live(app, bus, codec, self._carrier, self.timers, self._call)
        following: dict[type[Message], list[Any]] = {}
        apart: dict[type[Message], list[Any]] = {}
        for number, (handler, middleware, arguments) in enumerate(bound):
            message = handler.message
            if self.live is not None and handler.live:
                self.live.add(handler, call_of(handler, arguments, middleware))
                continue
            if handler.kind == "stream":
                self.streams[message] = stream_plan(app, handler, arguments, middleware)
                continue
            if self.delivery is not None:
                self._durable(handler, middleware, arguments, number)
            if handler.batch is not None:
                plan = self._batch(handler, arguments, middleware) if self.delivery is None else None
            elif message in self.transactional:
                continue
            else:
                plan = pure_plan(
                    self._app, handler, arguments, middleware, self._publish, None if self.delivery else self.after
                )
            if handler.kind != "event" and plan is not None and handler.batch is None:
                self.plans[message] = plan
                self._calls[message] = call_of(handler, arguments, middleware)
            if plan is not None:
                (apart if handler.concurrent else following).setdefault(message, []).append(plan)
                if handler.kind == "event":
                    make = partial(call_of, handler, arguments, middleware)
                    self._carrier.add(handler, make, plan if handler.batch is not None else None)
        if self.live is not None:
            self._compose_remote(self.live, bound)
        for message in {*following, *apart}:
            if issubclass(message, Event):
                self.after[message] = fan_out(message.__name__, following.get(message, []), apart.get(message, []))
            else:
                self.after[message] = following[message][0] if message not in self.plans else self._local.put
        self.after[Later] = self.schedule
        self.after[list] = partial(hand_over, self.after)

    def _compose_remote(self, live: Live, bound: Sequence[tuple[Handler, Sequence[Any], list[Argument]]]) -> None:
        """What others may send here, and what is declared here and handled elsewhere."""
        handled = {handler.message for handler, _, _ in bound}
        for handler, _, _ in bound:
            if handler.remote:
                live.answers(handler.message)
        for message in self.registry.messages:
            if message not in handled and message.__catga__.kind in ("command", "query"):
                self.plans[message] = live.plan(message)

    def _durable(self, handler: Handler, middleware: Sequence[Any], arguments: Sequence[Argument], number: int) -> None:
        if self.delivery is None:
            return
        annotations = {parameter.annotation for parameter in handler.parameters()}
        call = call_of(handler, arguments, middleware)
        retry = handler.retry or self._app.retry
        target = Target(handler, handler.id, call, retry, number.to_bytes(2), Connection in annotations)
        if handler.kind != "query":
            channel = handler.message.__catga__.channel or self._app.name
            self._targets.setdefault(channel, {}).setdefault(handler.message, []).append(target)
        if handler.kind != "event" and annotations & {Transaction, Connection} and handler.batch is None:
            self.transactional.add(handler.message)
            self.plans[handler.message] = self.delivery.direct.plan(target)

    def _batch(
        self, handler: Handler, arguments: Sequence[Argument], middleware: Sequence[Any]
    ) -> Callable[[Any], Awaitable[Any]]:
        call = call_of(handler, arguments, middleware)

        async def run(messages: list[Any]) -> None:
            await call(messages, Context(self._app))

        assert handler.batch is not None
        batches = LocalBatches(handler.batch, self._app.clock, self.timers, run, key_getter(handler.message))
        self._batches.append(batches)
        return batches.add

    async def _stop_feature(self, feature: Any) -> None:
        await feature.stop(self._deadline)

    async def _publish(self, ctx: Context) -> None:
        if self.delivery is None:
            raise AppClosed("the app has no delivery")
        await self.delivery.direct.publish(ctx)

    async def _run_local(self, message: Any) -> None:
        if isinstance(message, Carried):
            if isinstance(message.message, Event):
                await self._carrier.take(message)
            else:
                await self._call(message.message, message.envelope.id, message.envelope)
        elif isinstance(message, Event):
            await taker_of(self.after, message)(message)
        else:
            await self.plans[type(message)](message)

    def _due(self, later: Later) -> None:
        self._scheduled.pop(later.id, None)
        task = asyncio.ensure_future(self._local.put(self._due_message(later)))
        self._due_tasks.add(task)
        task.add_done_callback(self._due_tasks.discard)

    def _due_message(self, later: Later) -> Any:
        if later.ext is None and not later.deadline_ms:
            return later.message
        return Carried(later.message, beside(self._app, later.message, later.id, later.deadline_ms, later.ext))


def check_live(app: "Catga", handler: Handler) -> Sequence[ConfigurationError]:
    """That who is live or remote has a bus, and promises nothing that it cannot keep."""
    if not (handler.live or handler.remote) or not isinstance(handler.message, type):  # pyright: ignore[reportUnnecessaryIsInstance]
        return ()  # what is no message is named elsewhere
    message, why = handler.message.__name__, "what is heard live comes at most once, and leaves no mark"
    if handler.live and handler.kind != "event":
        what, fix = f"{message} has a subscriber, and is no event", f"write `@app.handler({message})`"
    elif handler.remote and (handler.batch is not None or handler.kind not in ("command", "query")):
        what, why = f"the handler of {message} is remote, and has no single reply", ""
        fix = "make it the handler of one command or query"
    elif app.bus is None:
        said = "has a subscriber" if handler.live else "has a remote handler"
        return [NoBusMistake(f"{message} {said}, and app {app.name!r} has no bus", where=handler.where, fix=NO_BUS)]
    elif handler.live and _writes(handler):
        what, fix = f"the subscriber of {message} writes", "enqueue a command in it, whose handler writes"
    else:
        return ()
    return [HandlerDefinitionError(what, where=handler.where, why=why, fix=fix)]


def check_writing(app: "Catga", store: Store | None, handler: Handler) -> Sequence[ConfigurationError]:
    """That a handler that writes has where to."""
    if not _writes(handler):
        return ()
    message = handler.message.__name__
    if handler.kind == "stream":
        what, fix = (
            f"the handler of stream query {message} asks to write",
            "read through a provider, or make it a query",
        )
        return [HandlerDefinitionError(what, where=handler.where, why="it ends with no commit", fix=fix)]
    if app.store is None:
        what = f"the handler of {message} writes, and app {app.name!r} has no store"
        return [
            NoStoreMistake(what, where=handler.where, fix="give the app store='sqlite:///app.db', or set CATGA_STORE")
        ]
    if store is not None and not store.tables:
        what = f"the handler of {message} writes, and the store of app {app.name!r} has no tables"
        return [
            NoStoreMistake(what, where=handler.where, why=store.store_id, fix="give the app store='sqlite:///app.db'")
        ]
    return ()


def _writes(handler: Handler) -> bool:
    return any(parameter.annotation in (Transaction, Connection) for parameter in handler.parameters())


class NoBusMistake(ConfigurationError):
    """A subscriber, in an app without a bus."""

    code: ClassVar[str] = NoBus.code


class NoStoreMistake(ConfigurationError):
    """A handler that writes, in an app without a store."""

    code: ClassVar[str] = NoStore.code
