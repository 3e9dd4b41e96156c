"""`Router`: handlers, middleware and providers that belong together; an app is one, and mounts others."""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, overload

import msgspec

from catga.mediator.handlers import Batch, Handler, Retry, describe_place, resolve_hints
from catga.messages import Command, Event, Query, StreamQuery

S = TypeVar("S")
T = TypeVar("T")
P = ParamSpec("P")
A = TypeVar("A")
E = TypeVar("E", bound=Event)
F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=Command[Any])

Middleware = Any
"""`async def (message, ctx, next)`, or an object with `compose(next, handler)`: see `catga.mediator.pipeline`."""


class Upcaster(msgspec.Struct, frozen=True):
    """Lifts the fields of one message type from `version` to the next."""

    message: type[Any]
    version: int
    function: Callable[[dict[str, Any]], dict[str, Any]]


class Router:
    """Collects registrations; nothing is checked before an app starts, and then everything is, together.

    >>> from catga import Catga, Query, Router
    >>> class Stock(Query[int]):
    ...     sku: str
    >>> stock = Router()
    >>> @stock.handler(Stock)
    ... async def level(query: Stock) -> int:
    ...     return 7
    >>> app = Catga("shop")
    >>> app.include(stock) is stock
    True
    """

    def __init__(self, *, middleware: tuple[Middleware, ...] = ()) -> None:
        self._handlers: list[Handler] = []
        self._middleware: list[Middleware] = list(middleware)
        self._providers: list[tuple[Callable[..., Any], dict[str, Any], str]] = []
        self._upcasters: list[Upcaster] = []
        self._routers: list[Router] = []

    @overload
    def handler(
        self,
        message: type[Command[S]],
        /,
        *,
        id: str | None = None,
        aliases: tuple[str, ...] = (),
        retry: Retry | None = None,
        middleware: tuple[Middleware, ...] = (),
        when_dead: Literal["skip", "block"] = "skip",
        remote: bool = False,
    ) -> Callable[
        [Callable[Concatenate[A, P], Coroutine[Any, Any, S]]], Callable[Concatenate[A, P], Coroutine[Any, Any, S]]
    ]: ...
    @overload
    def handler(
        self,
        message: type[Query[S]],
        /,
        *,
        id: str | None = None,
        middleware: tuple[Middleware, ...] = (),
        remote: bool = False,
    ) -> Callable[
        [Callable[Concatenate[A, P], Coroutine[Any, Any, S]]], Callable[Concatenate[A, P], Coroutine[Any, Any, S]]
    ]: ...
    @overload
    def handler(
        self, message: type[StreamQuery[T]], /, *, id: str | None = None
    ) -> Callable[[Callable[Concatenate[A, P], AsyncIterator[T]]], Callable[Concatenate[A, P], AsyncIterator[T]]]: ...
    @overload
    def handler(
        self,
        message: type[E],
        /,
        *,
        id: str | None = None,
        aliases: tuple[str, ...] = (),
        retry: Retry | None = None,
        middleware: tuple[Middleware, ...] = (),
        concurrent: bool = False,
        when_dead: Literal["skip", "block"] = "skip",
    ) -> Callable[
        [Callable[Concatenate[E, P], Coroutine[Any, Any, None]]], Callable[Concatenate[E, P], Coroutine[Any, Any, None]]
    ]: ...
    @overload
    def handler(
        self,
        message: type[E],
        /,
        *,
        batch: Batch,
        id: str | None = None,
        aliases: tuple[str, ...] = (),
        retry: Retry | None = None,
        when_dead: Literal["skip", "block"] = "skip",
    ) -> Callable[
        [Callable[Concatenate[list[E], P], Coroutine[Any, Any, None]]],
        Callable[Concatenate[list[E], P], Coroutine[Any, Any, None]],
    ]: ...
    @overload
    def handler(
        self,
        message: type[C],
        /,
        *,
        batch: Batch,
        id: str | None = None,
        aliases: tuple[str, ...] = (),
        retry: Retry | None = None,
        when_dead: Literal["skip", "block"] = "skip",
    ) -> Callable[
        [Callable[Concatenate[list[C], P], Coroutine[Any, Any, None]]],
        Callable[Concatenate[list[C], P], Coroutine[Any, Any, None]],
    ]: ...
    def handler(self, message: Any, /, **options: Any) -> Any:
        """Registers the decorated async function for a message type; it stays a plain function for unit tests.

        `id` names it durably (default: module and name), `aliases` are names it had; `retry` says when it runs again,
        `middleware` wraps it innermost; `concurrent` lets an event's handler run beside the others; `when_dead` says
        what happens to a key whose head became a dead letter: `skip` goes on, `block` waits for the replay; `batch`
        makes it a handler of lists; a `remote` one answers what other processes `send` over the bus.
        """

        return self._registering(message, options)

    def subscriber(
        self,
        event: type[E],
        /,
        *,
        group: str | None = None,
        id: str | None = None,
        middleware: tuple[Middleware, ...] = (),
    ) -> Callable[
        [Callable[Concatenate[E, P], Coroutine[Any, Any, None]]], Callable[Concatenate[E, P], Coroutine[Any, Any, None]]
    ]:
        """Registers the decorated async function for an event that others `broadcast` while this app runs: at most once, and
        with no retry. Every instance hears it; with a `group`, one of those of the same group. Events of a type are handled
        one after the other: give what takes long to a command."""

        return self._registering(event, {"group": group, "id": id, "middleware": middleware, "live": True})

    def middleware(self, function: F) -> F:
        """Adds a layer around every handler of this router, inside those added before."""
        self._middleware.append(function)
        return function

    def provide(self, function: F) -> F:
        """Gives its return type to the handlers that ask for it.

        A plain or `async def` function is called once per app; an async generator once per message, and is left after
        the commit or rollback.
        """
        hints, problem = resolve_hints(function, 2)
        self._providers.append((function, hints, problem))
        return function

    def upcast(
        self, message: type[Any], version: int
    ) -> Callable[[Callable[[dict[str, Any]], dict[str, Any]]], Callable[[dict[str, Any]], dict[str, Any]]]:
        """Registers how the fields of `message` at `version` become those of the next version."""

        def register(
            function: Callable[[dict[str, Any]], dict[str, Any]],
        ) -> Callable[[dict[str, Any]], dict[str, Any]]:
            self._upcasters.append(Upcaster(message, version, function))
            return function

        return register

    def mount(self, router: "Router") -> None:
        """Takes another router's registrations in; its middleware stays around its own handlers only."""
        self._routers.append(router)

    def registrations(self, outer: tuple[Middleware, ...] = ()) -> list[tuple[Handler, tuple[Middleware, ...]]]:
        """Every handler with the middleware around it: global, router, handler, in that order."""
        around = (*outer, *self._middleware)
        found = [(handler, (*around, *handler.middleware)) for handler in self._handlers]
        for router in self._routers:
            found += router.registrations(around)
        return found

    def providers(self) -> list[tuple[Callable[..., Any], dict[str, Any], str]]:
        """Every provider, those of mounted routers last."""
        return self._providers + [provider for router in self._routers for provider in router.providers()]

    def upcasters(self) -> list[Upcaster]:
        """Every upcaster."""
        return self._upcasters + [upcaster for router in self._routers for upcaster in router.upcasters()]

    def _registering(self, message: Any, options: dict[str, Any]) -> Callable[[F], F]:
        def register(function: F) -> F:
            hints, problem = resolve_hints(function, 2)
            self._handlers.append(
                Handler(
                    message=message,
                    function=function,
                    id=options.get("id") or f"{function.__module__}.{function.__qualname__}".replace(".<locals>", ""),
                    aliases=options.get("aliases", ()),
                    batch=options.get("batch"),
                    retry=options.get("retry"),
                    middleware=tuple(options.get("middleware", ())),
                    concurrent=options.get("concurrent", False),
                    when_dead=options.get("when_dead", "skip"),
                    where=describe_place(function),
                    hints=hints,
                    hints_error=problem,
                    live=options.get("live", False),
                    group=options.get("group"),
                    remote=options.get("remote", False),
                )
            )
            return function

        return register
