"""Idempotency: once per key, also for duplicates that come at the same time, and never a reply that may be undone."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from catga import Batch, Catga, Command, Context, Err, Event, Ok, Result
from catga.clock import SystemClock
from catga.errors import ConfigurationError
from catga.mediator.handlers import Handler
from catga.middleware import Idempotency


class Charge(Command[int]):
    order: str | None


class Charged(Event):
    order: str


def handler_of(batch: Batch | None = None) -> Handler:
    app = Catga("shop")

    async def charge(messages: Any) -> None: ...

    app.handler(Charge, batch=batch)(charge)  # type: ignore[call-overload]
    ((handler, _),) = app.registrations()
    return handler


def by_order(charge: Charge) -> str | None:
    return charge.order


class Clock(SystemClock):
    now = 1000.0

    def monotonic(self) -> float:  # type: ignore[override]
        return self.now


class Shop:
    """An app whose handler counts, and waits or fails when told to."""

    def __init__(self, layer: Idempotency, **options: Any) -> None:
        self.clock = Clock()
        self.app = Catga("shop", middleware=(layer,), clock=self.clock, **options)
        self.handled: list[str | None] = []
        self.published: list[str] = []
        self.gate: asyncio.Event | None = None
        self.fails: list[BaseException] = []
        self.app.handler(Charge)(self._charge_function())
        self.app.handler(Charged)(self._charged_function())

    def _charge_function(self) -> Callable[..., Coroutine[Any, Any, int]]:
        async def charge(cmd: Charge, ctx: Context) -> int:
            self.handled.append(cmd.order)
            number = len(self.handled)
            ctx.publish(Charged(cmd.order or "-"))
            if self.gate is not None:
                await self.gate.wait()
            if self.fails:
                raise self.fails.pop(0)
            return number

        return charge

    def _charged_function(self) -> Callable[..., Coroutine[Any, Any, None]]:
        async def charged(event: Charged) -> None:
            self.published.append(event.order)

        return charged


def play(shop: Shop, scene: Callable[[Catga], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with shop.app:
            await asyncio.wait_for(scene(shop.app), 10)

    asyncio.run(main())


def test_the_second_has_the_reply_of_the_first_and_publishes_nothing() -> None:
    shop = Shop(Idempotency(by_order))

    async def scene(app: Catga) -> None:
        assert [await app.send(Charge(order)) for order in ("a", "a", "b", "a")] == [1, 1, 2, 1]

    play(shop, scene)
    assert shop.handled == ["a", "b"]
    assert shop.published == ["a", "b"]


def test_without_a_key_each_is_handled() -> None:
    shop = Shop(Idempotency(by_order))

    async def scene(app: Catga) -> None:
        assert [await app.send(Charge(None)) for _ in range(3)] == [1, 2, 3]

    play(shop, scene)


def test_without_a_key_function_the_messages_id_is_the_key() -> None:
    layer = Idempotency()
    handled: list[int] = []

    async def inner(message: Any, ctx: Context) -> int:
        handled.append(message)
        return len(handled)

    app = Catga("shop")

    async def main() -> None:
        call = layer.compose(inner, handler_of())
        assert [await call(0, Context(app, _id=id)) for id in (b"a", b"a", b"b", None, None)] == [1, 1, 2, 3, 4]

    asyncio.run(main())


def test_a_reply_of_none_is_a_reply() -> None:
    class Note(Command[None]):
        pass

    app = Catga("shop", middleware=(Idempotency(lambda _: 1),))
    handled: list[int] = []

    @app.handler(Note)
    async def note(cmd: Note) -> None:
        handled.append(1)

    async def main() -> None:
        async with app:
            await app.send(Note())
            await app.send(Note())

    asyncio.run(main())
    assert handled == [1]


def test_an_err_is_kept_as_well() -> None:
    class Reserve(Command[Result[int, str]]):
        pass

    app = Catga("shop", middleware=(Idempotency(lambda _: 1),))
    replies: list[Result[int, str]] = [Err("sold out"), Ok(1)]

    @app.handler(Reserve)
    async def reserve(cmd: Reserve) -> Result[int, str]:
        return replies.pop(0)

    async def main() -> None:
        async with app:
            assert [await app.send(Reserve()) for _ in range(2)] == [Err("sold out")] * 2

    asyncio.run(main())


def test_a_failure_is_not_kept() -> None:
    shop = Shop(Idempotency(by_order))
    shop.fails = [ValueError()]

    async def scene(app: Catga) -> None:
        with pytest.raises(ValueError):
            await app.send(Charge("a"))
        assert await app.send(Charge("a")) == 2

    play(shop, scene)
    assert shop.published == ["a"]


def test_duplicates_at_the_same_time_wait_for_the_first() -> None:
    shop = Shop(Idempotency(by_order))

    async def scene(app: Catga) -> None:
        shop.gate = asyncio.Event()
        sent = [asyncio.create_task(app.send(Charge("a"))) for _ in range(3)]
        other = asyncio.create_task(app.send(Charge("b")))
        await asyncio.sleep(0)
        assert shop.handled == ["a", "b"]
        shop.gate.set()
        assert await asyncio.gather(*sent) == [1, 1, 1]
        assert await other == 2

    play(shop, scene)
    assert shop.handled == ["a", "b"]


def test_where_the_first_fails_the_next_takes_its_turn_and_the_rest_wait_for_that() -> None:
    shop = Shop(Idempotency(by_order))
    shop.fails = [ValueError("first")]

    async def scene(app: Catga) -> None:
        shop.gate = asyncio.Event()
        sent = [asyncio.create_task(app.send(Charge("a"))) for _ in range(4)]
        await asyncio.sleep(0)
        shop.gate.set()
        first, *rest = await asyncio.gather(*sent, return_exceptions=True)
        assert isinstance(first, ValueError)
        assert rest == [2, 2, 2]

    play(shop, scene)
    assert shop.handled == ["a", "a"]


def test_where_the_first_is_cancelled_the_next_takes_its_turn() -> None:
    shop = Shop(Idempotency(by_order))

    async def scene(app: Catga) -> None:
        shop.gate = asyncio.Event()
        first, second = (asyncio.create_task(app.send(Charge("a"))) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await asyncio.sleep(0)
        shop.gate.set()
        assert await second == 2

    play(shop, scene)


def test_a_cancelled_duplicate_disturbs_nobody() -> None:
    shop = Shop(Idempotency(by_order))

    async def scene(app: Catga) -> None:
        shop.gate = asyncio.Event()
        first, second, third = (asyncio.create_task(app.send(Charge("a"))) for _ in range(3))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert not first.done()
        shop.gate.set()
        assert (await first, await third) == (1, 1)

    play(shop, scene)
    assert shop.handled == ["a"]


def test_after_its_time_a_reply_is_forgotten_and_asking_does_not_prolong_it() -> None:
    shop = Shop(Idempotency(by_order, ttl=10))

    async def scene(app: Catga) -> None:
        assert await app.send(Charge("a")) == 1
        shop.clock.now += 9
        assert await app.send(Charge("a")) == 1
        shop.clock.now += 1
        assert await app.send(Charge("a")) == 2
        shop.clock.now += 9
        assert await app.send(Charge("a")) == 2
        shop.clock.now += 500
        assert await app.send(Charge("a")) == 3

    play(shop, scene)


def test_a_short_time_is_a_time() -> None:
    shop = Shop(Idempotency(by_order, ttl=0.5))

    async def scene(app: Catga) -> None:
        assert await app.send(Charge("a")) == 1
        shop.clock.now += 0.25
        assert await app.send(Charge("a")) == 1
        shop.clock.now += 0.5
        assert await app.send(Charge("a")) == 2

    play(shop, scene)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_it_keeps_the_last_ones_and_at_most_twice_as_many(size: int) -> None:
    shop = Shop(Idempotency(by_order, size=size))

    async def scene(app: Catga) -> None:
        orders = [str(number) for number in range(10 * size)]
        for order in orders:
            await app.send(Charge(order))
        shop.handled.clear()
        for order in reversed(orders[-size:]):
            await app.send(Charge(order))
        assert shop.handled == []
        await app.send(Charge(orders[-2 * size - 1]))
        assert shop.handled == [orders[-2 * size - 1]]

    play(shop, scene)


def test_what_is_asked_for_again_and_again_does_not_make_it_grow() -> None:
    """Coming back from the old generation counts like a new reply, or a pattern of hits would never let it turn."""
    size = 4
    held: list[int] = []

    async def inner(message: Any, ctx: Context) -> int:
        held.append(message)
        return 0

    async def main() -> None:
        call = Idempotency(lambda message: message, size=size).compose(inner, handler_of())
        ctx = Context(Catga("shop"))
        for start in range(0, 200, size - 1):
            for new in range(start, start + size - 1):
                await call(new, ctx)
            for again in range(max(0, start - 50), start):
                if again in known(call):
                    await call(again, ctx)
            assert len(known(call)) <= 2 * size

    asyncio.run(main())
    assert len(held) > 100


def known(call: Any) -> set[int]:
    names = dict(zip(call.__code__.co_freevars, call.__closure__, strict=True))
    return {*names["young"].cell_contents, *names["old"].cell_contents}


def test_what_is_asked_for_stays() -> None:
    shop = Shop(Idempotency(by_order, size=3))

    async def scene(app: Catga) -> None:
        for number in range(50):
            await app.send(Charge(str(number)))
            assert await app.send(Charge("kept")) == shop.handled.index("kept") + 1

    play(shop, scene)
    assert shop.handled.count("kept") == 1


def test_two_handlers_do_not_share_keys() -> None:
    class Refund(Command[str]):
        order: str

    shop = Shop(Idempotency(lambda message: message.order))

    @shop.app.handler(Refund)
    async def refund(cmd: Refund) -> str:
        return "refunded"

    async def scene(app: Catga) -> None:
        assert await app.send(Charge("a")) == 1
        assert await app.send(Refund("a")) == "refunded"

    play(shop, scene)


def test_a_message_from_a_store_passes_through() -> None:
    """Its first attempt may have been handled and not committed: then it has to be handled again."""
    handled: list[int] = []

    async def inner(message: Any, ctx: Context) -> int:
        handled.append(1)
        return len(handled)

    async def main() -> None:
        ctx = Context(Catga("shop"), _envelope=object(), _tx=object(), _id=b"a")  # type: ignore[arg-type]
        for layer in (Idempotency(), Idempotency(lambda _: "a")):
            call = layer.compose(inner, handler_of())
            await call(0, ctx)
            await call(0, ctx)

    asyncio.run(main())
    assert len(handled) == 4


def test_a_reply_whose_publications_a_store_has_yet_to_commit_is_not_kept() -> None:
    async def inner(message: Any, ctx: Context) -> int:
        ctx.publish(Charged("a"))
        handled.append(1)
        return len(handled)

    handled: list[int] = []

    async def main() -> None:
        call = Idempotency(lambda _: "a").compose(inner, handler_of())
        app = Catga("shop", store="sqlite:///never-opened.db")
        assert [await call(0, Context(app)) for _ in range(2)] == [1, 2]

    asyncio.run(main())


def test_around_a_batch_handler_it_is_not_there() -> None:
    """The list has no key: the store knows each of its messages."""

    async def inner(message: Any, ctx: Context) -> None: ...

    assert Idempotency(by_order).compose(inner, handler_of(Batch())) is inner


@pytest.mark.parametrize("options", [{"size": 0}, {"ttl": 0}, {"ttl": float("nan")}])
def test_keeping_nothing_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Idempotency(**options)
