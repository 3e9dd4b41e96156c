"""What `send` costs over calling the handler: ourselves, the dict that everybody writes first, and peers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from benches.peers import bubus_dispatch, cqrs_mediator, diator_mediator, mediatr_mediator
from benches.runner import Group, Row
from catga import Catga, Command, Context, Event

# Many short rounds: on a machine that others use too, some fall between their turns.
COUNT, ROUNDS = 2_000, 101


class Plain(Command[int]):
    """Handled by a function without parameters."""

    value: int


class WithContext(Command[int]):
    """Handled by a function that asks for the context."""

    value: int


class Publishing(Command[int]):
    """Handled by a function that publishes."""

    value: int


class Layered(Command[int]):
    """Handled inside three middleware."""

    value: int


class Happened(Event):
    """What `Publishing` tells."""

    value: int


HAPPENED = Happened(1)


async def plain(command: Plain) -> int:
    """The least work that still reads the message."""
    return command.value


async def with_context(command: WithContext, ctx: Context) -> int:
    """As `plain`, with a context."""
    return command.value


async def publishing(command: Publishing, ctx: Context) -> int:
    """As `with_context`, and an event leaves."""
    ctx.publish(HAPPENED)
    return command.value


async def creating(command: Publishing, ctx: Context) -> int:
    """As `publishing`, with an event made for each message."""
    ctx.publish(Happened(command.value))
    return command.value


async def heard(event: Happened) -> None:
    """One subscriber."""


async def layer(message: Any, ctx: Context, next: Callable[[Any, Context], Awaitable[Any]]) -> Any:
    """A middleware that does nothing."""
    return await next(message, ctx)


def by_hand(inner: Callable[[Any, Context], Awaitable[Any]]) -> Callable[[Any, Context], Awaitable[Any]]:
    """The same, as one composes it without a library."""

    async def call(message: Any, ctx: Context) -> Any:
        return await inner(message, ctx)

    return call


def app_with(handlers: dict[type[Any], Callable[..., Any]], middleware: tuple[Any, ...] = ()) -> Catga:
    """An app in memory."""
    app = Catga("bench", middleware=middleware)
    for message, handler in handlers.items():
        app.handler(message)(handler)  # type: ignore[arg-type]
    return app


def sending(send: Callable[[Any], Awaitable[Any]], message: Any) -> Callable[[int], Awaitable[None]]:
    """The loop every row has."""

    async def timed(count: int) -> None:
        for _ in range(count):
            await send(message)

    return timed


def looking_up(
    table: dict[type[Any], Callable[[Any], Awaitable[Any]]], message: Any
) -> Callable[[int], Awaitable[None]]:
    """The same loop over the dict."""

    async def timed(count: int) -> None:
        for _ in range(count):
            await table[type(message)](message)

    return timed


@asynccontextmanager
async def send_rows() -> AsyncIterator[Sequence[Row]]:
    """Without middleware."""
    app = app_with({Plain: plain, WithContext: with_context, Publishing: publishing, Happened: heard})
    making = app_with({Publishing: creating, Happened: heard})
    async with app, making:
        rows = [
            Row("a dict by type, awaited", looking_up({Plain: plain}, Plain(1)), COUNT),
            Row("catga send", sending(app.send, Plain(1)), COUNT),
            Row("catga send, Context", sending(app.send, WithContext(1)), COUNT),
            Row("catga send, Context, publish", sending(app.send, Publishing(1)), COUNT),
            Row("catga send, Context, make and publish", sending(making.send, Publishing(1)), COUNT),
            Row("catga publish, one handler", sending(app.publish, Happened(1)), COUNT // 4),
        ]
        async with (
            mediatr_mediator(0) as mediatr,
            diator_mediator(0) as diator,
            cqrs_mediator(0) as cqrs,
            bubus_dispatch() as bubus,
        ):
            rows += [
                Row("mediatr send_async", sending(*mediatr), COUNT // 10),
                Row("diator send", sending(*diator), COUNT // 10),
                Row("python-cqrs send", sending(*cqrs), COUNT // 20),
                Row("bubus dispatch", sending(*bubus), 2),
            ]
            yield rows


@asynccontextmanager
async def layered_rows() -> AsyncIterator[Sequence[Row]]:
    """Three middleware that do nothing."""
    app = app_with({WithContext: with_context}, (layer, layer, layer))
    composed = by_hand(by_hand(by_hand(with_context)))

    async def send(message: Any) -> Any:
        return await composed(message, Context(app))

    async with app, mediatr_mediator(3) as mediatr, diator_mediator(3) as diator, cqrs_mediator(3) as cqrs:
        yield [
            Row("three closures by hand", looking_up({WithContext: send}, WithContext(1)), COUNT),
            Row("catga send, three middleware", sending(app.send, WithContext(1)), COUNT),
            Row("mediatr send_async", sending(*mediatr), COUNT // 10),
            Row("diator send", sending(*diator), COUNT // 10),
            Row("python-cqrs send", sending(*cqrs), COUNT // 20),
        ]


GROUPS = [
    Group("send", send_rows, rounds=ROUNDS),
    Group("send, three middleware", layered_rows, rounds=ROUNDS),
]
