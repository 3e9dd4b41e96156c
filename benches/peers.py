"""Peers set up at their best: handlers ready in a trivial container, no logging, nothing registered that is not used.

Each gives (send, message), to be awaited as `send(message)`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import cqrs
import diator.mediator
import diator.middlewares
import diator.requests
import mediatr
import stamina
from bubus import BaseEvent, EventBus
from cqrs.middlewares.base import MiddlewareChain as CqrsChain

Peer = tuple[Callable[[Any], Awaitable[Any]], Any]


class Ready:
    """A container that holds one instance."""

    external_container = None

    def __init__(self, instance: Any) -> None:
        self._instance = instance

    def attach_external_container(self, container: Any) -> None:
        """Nothing to attach."""

    async def resolve(self, type_: Any) -> Any:
        """The instance, whatever is asked."""
        return self._instance


class _Through:
    async def __call__(self, request: Any, handle: Callable[[Any], Awaitable[Any]]) -> Any:
        return await handle(request)


@asynccontextmanager
async def mediatr_mediator(layers: int) -> AsyncIterator[Peer]:
    """mediatr keeps handlers and behaviors in globals, so each set-up has its own request class."""

    class Request:
        value = 1

    async def handle(request: Request) -> int:
        return request.value

    def behavior() -> Callable[..., Any]:
        async def through(request: Request, next: Callable[[], Awaitable[Any]]) -> Any:
            return await next()

        return through

    mediatr.Mediator.handler(handle)
    for _ in range(layers):
        mediatr.Mediator.behavior(behavior())
    yield mediatr.Mediator().send_async, Request()


@asynccontextmanager
async def diator_mediator(layers: int) -> AsyncIterator[Peer]:
    """diator."""

    @dataclass(frozen=True, kw_only=True)
    class Request(diator.requests.Request):
        value: int = 1

    class Handler:
        events: list[Any] = []  # noqa: RUF012 - never filled

        async def handle(self, request: Request) -> int:
            return request.value

    requests = diator.requests.RequestMap()
    requests.bind(Request, Handler)
    chain = diator.middlewares.MiddlewareChain()
    chain.set([_Through() for _ in range(layers)])
    yield diator.mediator.Mediator(requests, Ready(Handler()), middleware_chain=chain).send, Request()


class CqrsRequest(cqrs.Request[int]):
    """A request with the fields that ours has."""

    order: str
    customer: str
    amount: int


class CqrsHandler(cqrs.RequestHandler[CqrsRequest, int]):
    """Reads one field."""

    events: list[Any] = []  # noqa: RUF012 - never filled

    async def handle(self, request: CqrsRequest) -> int:
        """The reply."""
        return request.amount


def _cqrs(handler: Any, layers: list[Any]) -> Callable[[Any], Awaitable[Any]]:
    requests = cqrs.RequestMap()
    requests.bind(CqrsRequest, type(handler))
    chain = CqrsChain()
    chain.set(layers)
    return cqrs.RequestMediator(requests, Ready(handler), middleware_chain=chain).send


@asynccontextmanager
async def cqrs_mediator(layers: int) -> AsyncIterator[Peer]:
    """python-cqrs."""
    yield _cqrs(CqrsHandler(), [_Through() for _ in range(layers)]), CqrsRequest("o-1", "ann", 1)


@asynccontextmanager
async def cqrs_stacked() -> AsyncIterator[Peer]:
    """python-cqrs with stamina's retry and asyncio.timeout as its middleware."""

    async def retrying(request: Any, handle: Callable[[Any], Awaitable[Any]]) -> Any:
        reply = None
        async for attempt in stamina.retry_context(on=ValueError, attempts=3):
            with attempt:
                reply = await handle(request)
        return reply

    async def limited(request: Any, handle: Callable[[Any], Awaitable[Any]]) -> Any:
        async with asyncio.timeout(5):
            return await handle(request)

    yield _cqrs(CqrsHandler(), [_Layer(retrying), _Layer(limited)]), CqrsRequest("o-1", "ann", 1)


class _Layer:
    def __init__(self, function: Callable[..., Awaitable[Any]]) -> None:
        self._function = function

    def __call__(self, request: Any, handle: Callable[[Any], Awaitable[Any]]) -> Awaitable[Any]:
        return self._function(request, handle)


class BubusEvent(BaseEvent[int]):
    """bubus wants a pydantic event."""

    value: int = 1


@asynccontextmanager
async def bubus_dispatch() -> AsyncIterator[Peer]:
    """bubus; an event of its own for each dispatch, since it keeps its results in it."""
    logging.getLogger("bubus").setLevel(logging.CRITICAL)
    bus = EventBus(name="bench")

    async def handle(event: BubusEvent) -> int:
        return event.value

    async def dispatch(_: Any) -> Any:
        return await bus.dispatch(BubusEvent())

    bus.on(BubusEvent, handle)
    yield dispatch, None
    await bus.stop(timeout=0, clear=True)
