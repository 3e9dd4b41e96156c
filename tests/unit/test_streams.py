"""Stream queries: values as they are made, middleware around their beginning, and an end to whatever was opened."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from catga import Catga, Context, StreamQuery, Transaction
from catga.errors import ConfigurationError, DeadlineExceeded, NoHandler, ValidationFailed
from catga.middleware import Idempotency, Metrics, Timeout, Validation


class Numbers(StreamQuery[int]):
    upto: int


class Source:
    """Given for one query."""


def counting(**options: Any) -> tuple[Catga, list[str]]:
    app = Catga("numbers", **options)
    seen: list[str] = []

    @app.provide
    async def source() -> AsyncIterator[Source]:
        seen.append("opened")
        try:
            yield Source()
        finally:
            seen.append("closed")

    @app.handler(Numbers, id="numbers")
    async def numbers(query: Numbers, source: Source, ctx: Context) -> AsyncIterator[int]:
        try:
            for number in range(query.upto):
                seen.append(f"made {number}")
                yield number
        finally:
            seen.append("ended")

    return app, seen


def test_values_come_one_by_one_and_what_was_opened_is_closed_after_the_last() -> None:
    app, seen = counting()

    async def main() -> None:
        async with app:
            async for value in app.iterate(Numbers(2)):
                seen.append(f"read {value}")

    asyncio.run(main())
    assert seen == ["opened", "made 0", "read 0", "made 1", "read 1", "ended", "closed"]


def test_who_stops_reading_closes_it() -> None:
    app, seen = counting()

    async def main() -> None:
        async with app:
            values = app.iterate(Numbers(10))
            assert await anext(values) == 0
            await values.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())
    assert seen == ["opened", "made 0", "ended", "closed"]


def test_a_failure_half_way_reaches_the_reader_and_closes_it() -> None:
    app, seen = counting()

    class Failing(StreamQuery[int]):
        pass

    @app.handler(Failing)
    async def fail(query: Failing, source: Source) -> AsyncIterator[int]:
        yield 1
        raise LookupError("no more")

    async def main() -> None:
        async with app:
            values = app.iterate(Failing())
            assert await anext(values) == 1
            with pytest.raises(LookupError):
                await anext(values)

    asyncio.run(main())
    assert seen == ["opened", "closed"]


def test_middleware_stands_around_the_beginning() -> None:
    async def outer(message: Any, ctx: Context, next: Any) -> Any:
        seen.append(f"outer {message.upto}")
        values = await next(message, ctx)
        seen.append("begun")

        async def doubled() -> AsyncIterator[int]:
            async for value in values:
                yield 2 * value

        return doubled()

    app, seen = counting(middleware=(outer,))

    async def main() -> list[int]:
        async with app:
            return [value async for value in app.iterate(Numbers(3))]

    assert asyncio.run(main()) == [0, 2, 4]
    assert seen[:4] == ["outer 3", "opened", "begun", "made 0"]
    assert seen[-1] == "closed"


def test_a_layer_that_refuses_is_heard_and_nothing_begins() -> None:
    async def guard(message: Any, ctx: Context, next: Any) -> Any:
        raise PermissionError("not for you")

    app, seen = counting(middleware=(guard,))

    async def main() -> None:
        async with app:
            with pytest.raises(PermissionError):
                await anext(app.iterate(Numbers(3)))

    asyncio.run(main())
    assert seen == []


def test_the_built_in_layers_know_streams() -> None:
    metrics = Metrics()
    app, _ = counting(middleware=(Validation(), metrics, Timeout(5.0), Idempotency(lambda query: query.upto)))

    async def main() -> None:
        async with app:
            for _ in range(2):
                assert [value async for value in app.iterate(Numbers(3))] == [0, 1, 2]
            with pytest.raises(ValidationFailed):
                await anext(app.iterate(Numbers("three")))  # type: ignore[arg-type]

    asyncio.run(main())
    assert metrics.statistics()["numbers"]["handled"] == 2


def test_a_beginning_that_takes_too_long_is_cut() -> None:
    app = Catga("slow", middleware=(Timeout(0.01),))

    async def wait(message: Any, ctx: Context, next: Any) -> Any:
        await asyncio.sleep(60)

    @app.handler(Numbers, middleware=(wait,))
    async def numbers(query: Numbers) -> AsyncIterator[int]:
        yield 1

    async def main() -> None:
        async with app:
            with pytest.raises(DeadlineExceeded):
                await anext(app.iterate(Numbers(1)))

    asyncio.run(main())


def test_what_nobody_streams_is_refused() -> None:
    app = Catga("nothing")

    async def main() -> None:
        async with app:
            with pytest.raises(NoHandler):
                app.iterate(Numbers(1))

    asyncio.run(main())


def test_a_stream_handler_that_asks_to_write_is_refused_at_start() -> None:
    app = Catga("writing", store="memory://")

    @app.handler(Numbers)
    async def numbers(query: Numbers, tx: Transaction) -> AsyncIterator[int]:
        yield 1

    with pytest.raises(ConfigurationError, match="asks to write"):
        asyncio.run(app.start())
