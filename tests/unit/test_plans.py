"""What `send` calls: composed once at start, and nothing in it that was not asked for."""

import asyncio
import inspect
import linecache
import traceback
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from catga import Catga, Command, Context, Err, Event, Ok, Query, Result, Router, StreamQuery
from catga.errors import AppClosed, NoHandler


class Add(Command[int]):
    a: int
    b: int = 0


class Try(Command[Result[int, str]]):
    number: int


class Told(Event):
    number: int


class Each(StreamQuery[int]):
    upto: int


class Later(Command):
    number: int


class Number:
    def __init__(self, value: int) -> None:
        self.value = value


def in_app(app: Catga, story: Callable[[], Any]) -> Any:
    async def main() -> Any:
        async with app:
            return await story()

    return asyncio.run(main())


def test_without_anything_asked_for_it_is_the_handler_itself() -> None:
    app = Catga("plans")

    @app.handler(Add)
    async def add(cmd: Add) -> int:
        return cmd.a + cmd.b

    async def story() -> int:
        coroutine = app.send(Add(1, 2))
        assert coroutine.cr_code is add.__code__  # type: ignore[attr-defined]
        return await coroutine

    assert in_app(app, story) == 3


def test_values_of_the_app_cost_no_coroutine() -> None:
    app = Catga("plans")
    app.overrides[Number] = Number(5)

    @app.handler(Add)
    async def add(cmd: Add, number: Number) -> int:
        return cmd.a + number.value

    async def story() -> int:
        coroutine = app.send(Add(1))
        assert coroutine.cr_code is add.__code__  # type: ignore[attr-defined]
        return await coroutine

    assert in_app(app, story) == 6


def test_arguments_come_in_the_order_of_the_parameters() -> None:
    app = Catga("plans")
    app.overrides[Number] = Number(5)
    entered: list[int] = []

    class Session:
        pass

    @app.provide
    async def session() -> AsyncIterator[Session]:
        entered.append(1)
        yield Session()

    @app.handler(Add)
    async def add(cmd: Add, number: Number, ctx: Context, session: Session, again: Number) -> int:
        assert isinstance(ctx, Context)
        assert isinstance(session, Session)
        assert again is number
        return number.value

    assert in_app(app, lambda: app.send(Add(1))) == 5
    assert entered == [1]


def recorder(log: list[str], name: str) -> Any:
    async def layer(message: Any, ctx: Context, next: Any) -> Any:
        log.append(f"{name} in")
        try:
            return await next(message, ctx)
        finally:
            log.append(f"{name} out")

    return layer


class Layer:
    """A middleware that is an object."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def __call__(self, message: Any, ctx: Context, next: Any) -> Any:
        self.log.append("object in")
        reply = await next(message, ctx)
        self.log.append("object out")
        return reply

    async def method(self, message: Any, ctx: Context, next: Any) -> Any:
        self.log.append("method")
        return await next(message, ctx)


class Composing:
    """One that builds its own layer."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def compose(self, inner: Any, handler: Any) -> Any:
        self.log.append(f"composed for {handler.id}")

        def call(message: Any, ctx: Context) -> Any:
            self.log.append("composed")
            return inner(message, ctx)

        return call


def test_middleware_global_router_handler_the_first_outermost() -> None:
    log: list[str] = []
    app = Catga("plans", middleware=(recorder(log, "given"),))
    outer, inner = Router(middleware=(recorder(log, "outer"),)), Router()
    app.middleware(recorder(log, "added"))
    inner.middleware(recorder(log, "inner"))
    layers = (recorder(log, "own"), Layer(log), Layer(log).method, Composing(log))

    @inner.handler(Add, id="add", middleware=layers)
    async def add(cmd: Add) -> int:
        log.append("handler")
        return cmd.a

    @app.handler(Try, id="try")
    async def other(cmd: Try) -> Result[int, str]:
        return Ok(1)

    outer.mount(inner)
    app.include(outer)
    ways_in = ["given in", "added in", "outer in", "inner in", "own in", "object in", "method", "composed"]
    ways_out = ["object out", "own out", "inner out", "outer out", "added out", "given out"]

    async def story() -> None:
        assert set(log) == {"composed for add"}
        log.clear()
        assert await app.send(Add(7)) == 7
        assert log == [*ways_in, "handler", *ways_out]
        log.clear()
        await app.send(Try(1))
        # What is around another router's handlers is around those only.
        assert log == ["given in", "added in", "added out", "given out"]

    in_app(app, story)


def test_a_layer_keeps_its_own_name_and_closure() -> None:
    factor = 3

    async def times(message: Any, ctx: Any, next: Any) -> Any:
        return factor * await next(message, ctx)

    app = Catga("plans", middleware=(times, times))

    @app.handler(Add)
    async def add(cmd: Add) -> int:
        return cmd.a

    assert in_app(app, lambda: app.send(Add(2))) == 18
    assert times.__defaults__ is None
    assert list(inspect.signature(times).parameters) == ["message", "ctx", "next"]


def test_what_is_published_leaves_after_the_handler_has_succeeded() -> None:
    app = Catga("plans")
    log: list[Any] = []

    @app.handler(Try)
    async def attempt(cmd: Try, ctx: Context) -> Result[int, str]:
        ctx.publish(Told(cmd.number))
        ctx.enqueue(Later(cmd.number))
        log.append("handled")
        if cmd.number == 1:
            return Err("no")
        if cmd.number == 2:
            raise LookupError
        return Ok(cmd.number)

    @app.handler(Told)
    async def told(event: Told) -> None:
        log.append(event.number)

    @app.handler(Later)
    async def later(cmd: Later) -> None:
        log.append(-cmd.number)

    async def story(id: str | None) -> None:
        log.clear()
        assert await app.send(Try(1), id=id) == Err("no")
        with pytest.raises(LookupError):
            await app.send(Try(2), id=id)
        assert log == ["handled", "handled"]
        assert await app.send(Try(3), id=id) == Ok(3)
        await app.settled()
        assert log == ["handled", "handled", "handled", 3, -3]

    in_app(app, lambda: story(None))
    in_app(app, lambda: story("0" * 32))


def test_who_listens_and_fails_does_not_keep_the_others_from_hearing() -> None:
    app = Catga("plans")
    log: list[int] = []

    @app.handler(Add)
    async def add(cmd: Add, ctx: Context) -> int:
        for number in range(4):
            ctx.publish(Told(number))
        return 1

    @app.handler(Told)
    async def told(event: Told) -> None:
        log.append(event.number)
        if event.number % 2:
            raise LookupError(event.number)

    async def story() -> None:
        with pytest.raises(ExceptionGroup, match="handlers of what was published failed") as caught:
            await app.send(Add(1))
        assert [error.args for error in caught.value.exceptions] == [(1,), (3,)]

    in_app(app, story)
    assert log == [0, 1, 2, 3]


def test_publishing_what_nobody_hears_is_nothing_and_a_command_that_nobody_does_is_an_error() -> None:
    app = Catga("plans")

    @app.handler(Add)
    async def add(cmd: Add, ctx: Context) -> int:
        ctx.publish(Told(1))
        if cmd.a:
            ctx.enqueue(Later(1))
        return 1

    async def story() -> None:
        assert await app.send(Add(0)) == 1
        with pytest.raises(ExceptionGroup) as caught:
            await app.send(Add(1))
        (error,) = caught.value.exceptions
        assert isinstance(error, NoHandler)
        with pytest.raises(NoHandler):
            await app.enqueue(Later(1))
        await app.publish(Told(1))

    in_app(app, story)


def test_a_context_may_be_layered_and_scoped_at_once() -> None:
    log: list[str] = []
    app = Catga("plans", middleware=(recorder(log, "layer"),))

    @app.provide
    async def number() -> AsyncIterator[Number]:
        log.append("enter")
        yield Number(4)
        log.append("leave")

    @app.handler(Add)
    async def add(cmd: Add, number: Number, ctx: Context) -> int:
        ctx.publish(Told(number.value))
        return number.value

    @app.handler(Told)
    async def told(event: Told) -> None:
        log.append("told")

    assert in_app(app, lambda: app.send(Add(1))) == 4
    # The layer of the event's own handler is around it as well.
    assert log == ["layer in", "enter", "layer out", "layer in", "told", "layer out", "leave"]


def test_a_traceback_shows_the_generated_lines() -> None:
    app = Catga("plans")

    @app.handler(Add, id="adding")
    async def add(cmd: Add, ctx: Context) -> int:
        raise LookupError("here")

    async def story() -> str:
        try:
            await app.send(Add(1))
        except LookupError:
            return traceback.format_exc()
        raise AssertionError

    linecache.checkcache()
    text = in_app(app, story)
    assert "<catga plan of adding>" in text
    assert "reply = await handler(message, ctx)" in text


def test_streams() -> None:
    app = Catga("plans")
    app.overrides[Number] = Number(10)

    @app.handler(Each)
    async def each(query: Each, number: Number, ctx: Context) -> AsyncIterator[int]:
        for step in range(query.upto):
            yield number.value + step

    async def story() -> list[int]:
        return [number async for number in app.iterate(Each(3))]

    assert in_app(app, story) == [10, 11, 12]


class Ask(Query[int]):
    pass


def test_refusals_say_which_verb_is_right() -> None:
    app = Catga("plans")

    @app.handler(Add)
    async def add(cmd: Add) -> int:
        return 1

    async def story() -> None:
        for message, fix in (
            (Told(1), "use app.publish(Told(…))"),
            (Each(1), "use app.iterate(Each(…))"),
            (Ask(), "write `@app.handler(Ask)` over an async function, or include the router that has it"),
            (3, "derive it from Command, Query, StreamQuery or Event"),
        ):
            with pytest.raises(NoHandler) as caught:
                await app.send(message)  # type: ignore[call-overload]
            assert caught.value.fix == fix
        with pytest.raises(NoHandler):
            app.iterate(Each(1))
        with pytest.raises(AppClosed):
            await app.start()

    in_app(app, story)

    async def closed() -> None:
        with pytest.raises(AppClosed):
            await app.send(Add(1))
        with pytest.raises(AppClosed):
            await app.publish(Told(1))

    asyncio.run(closed())
