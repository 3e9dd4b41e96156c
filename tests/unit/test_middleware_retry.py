"""Retry: how often, on what, and that a failed attempt leaves nothing behind."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from catga import Catga, Command, Context, Event
from catga.errors import ConfigurationError
from catga.middleware import Retry


class Work(Command[int]):
    pass


class Tried(Event):
    attempt: int


def send(handler: Callable[[Work, Context], Awaitable[int]], *layers: Any) -> tuple[Any, list[int]]:
    """(reply, what was published)."""
    app = Catga("retry", middleware=layers)
    published: list[int] = []

    @app.handler(Work)
    async def work(command: Work, ctx: Context) -> int:
        return await handler(command, ctx)

    @app.handler(Tried)
    async def tried(event: Tried) -> None:
        published.append(event.attempt)

    async def main() -> Any:
        async with app:
            return await app.send(Work())

    return asyncio.run(main()), published


def failing(times: int, error: BaseException) -> Callable[[Work, Context], Awaitable[int]]:
    async def handler(_: Work, ctx: Context) -> int:
        ctx.publish(Tried(ctx.attempt))
        if ctx.attempt <= times:
            raise error
        return ctx.attempt

    return handler


def test_a_failed_attempt_is_repeated_and_leaves_nothing() -> None:
    assert send(failing(2, ValueError()), Retry(2)) == (3, [3])


def test_success_runs_once() -> None:
    assert send(failing(0, ValueError()), Retry(5)) == (1, [1])


def test_it_gives_up_with_the_last_error() -> None:
    attempts: list[int] = []

    async def handler(_: Work, ctx: Context) -> int:
        attempts.append(ctx.attempt)
        raise ValueError(ctx.attempt)

    with pytest.raises(ValueError, match="3") as caught:
        send(handler, Retry(2))
    assert attempts == [1, 2, 3]
    assert caught.value.__context__ is None


def test_what_is_not_named_is_not_repeated() -> None:
    attempts: list[int] = []

    async def handler(_: Work, ctx: Context) -> int:
        attempts.append(ctx.attempt)
        raise KeyError

    with pytest.raises(KeyError):
        send(handler, Retry(2, on=(ValueError, ConnectionError)))
    assert attempts == [1]


def test_a_subclass_of_what_is_named_is_repeated() -> None:
    assert send(failing(1, ConnectionResetError()), Retry(1, on=(ConnectionError,)))[0] == 2


@pytest.mark.parametrize("on", [(Exception,), (KeyError,)])
def test_the_last_failure_leaves_nothing_where_an_outer_layer_replies(on: tuple[type[Exception], ...]) -> None:
    async def replying(message: Any, ctx: Context, next: Callable[..., Awaitable[Any]]) -> Any:
        try:
            return await next(message, ctx)
        except ValueError:
            return -1

    assert send(failing(9, ValueError()), replying, Retry(1, on=on)) == (-1, [])


def test_a_cancellation_is_never_repeated() -> None:
    attempts: list[int] = []
    app = Catga("retry", middleware=(Retry(3),))

    @app.handler(Work)
    async def work(command: Work, ctx: Context) -> int:
        attempts.append(ctx.attempt)
        await asyncio.sleep(60)
        return 0

    async def main() -> None:
        async with app:
            task = asyncio.create_task(app.send(Work()))
            await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert attempts == [1]


def test_two_messages_at_once_count_for_themselves() -> None:
    app = Catga("retry", middleware=(Retry(1),))

    @app.handler(Work)
    async def work(command: Work, ctx: Context) -> int:
        await asyncio.sleep(0)
        if ctx.attempt == 1:
            raise ValueError
        return ctx.attempt

    async def main() -> list[int]:
        async with app:
            return await asyncio.gather(app.send(Work()), app.send(Work()))

    assert asyncio.run(main()) == [2, 2]


@pytest.mark.parametrize("make", [lambda: Retry(0), lambda: Retry(1, on=(asyncio.CancelledError,))])
def test_what_cannot_be_meant_is_refused(make: Callable[[], Retry]) -> None:
    with pytest.raises(ConfigurationError):
        make()
