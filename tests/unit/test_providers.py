"""Providers: per-app values are made once and after what they need, per-message ones live as long as their message."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from catga import Catga, Command, Context, Event
from catga.errors import ConfigurationError, MissingProvider


class Ask(Command[str]):
    what: str = ""


class Told(Event):
    pass


class A:
    def __init__(self, label: str = "a") -> None:
        self.label = label


class B(A):
    pass


class C(A):
    pass


def start(app: Catga) -> list[ConfigurationError]:
    async def main() -> list[ConfigurationError]:
        try:
            await app.start()
        except ConfigurationError as error:
            return list(error.mistakes)
        await app.stop()
        return []

    return asyncio.run(main())


def test_each_is_made_once_and_after_what_it_needs() -> None:
    app = Catga("providers")
    made: list[str] = []

    @app.provide
    async def third(b: B, a: A) -> C:
        made.append("c")
        return C(f"c of {b.label} and {a.label}")

    @app.provide
    def second(a: A) -> B:
        made.append("b")
        return B(f"b of {a.label}")

    @app.provide
    def first() -> A:
        made.append("a")
        return A()

    @app.handler(Ask)
    async def ask(cmd: Ask, c: C, a: A) -> str:
        return f"{c.label}, {a.label}"

    async def main() -> None:
        async with app:
            for _ in range(2):
                assert await app.send(Ask()) == "c of b of a and a, a"

    asyncio.run(main())
    assert made == ["a", "b", "c"]
    asyncio.run(main())
    assert made == ["a", "b", "c"] * 2, "another run of the app has values of its own"


def test_a_value_per_message_is_left_after_it_whatever_happens() -> None:
    app = Catga("providers")
    log: list[str] = []

    @app.provide
    async def a(c: C) -> AsyncIterator[A]:
        log.append("enter a")
        try:
            yield A(c.label)
        finally:
            log.append("leave a")

    @app.provide
    async def b() -> AsyncIterator[B]:
        log.append("enter b")
        try:
            yield B("b")
        finally:
            log.append("leave b")

    @app.provide
    def c() -> C:
        return C("c")

    @app.handler(Ask)
    async def ask(cmd: Ask, a: A, ctx: Context, b: B) -> str:
        log.append(f"handle {a.label}{b.label}{ctx.attempt}")
        if cmd.what == "raise":
            raise LookupError
        if cmd.what == "publish":
            ctx.publish(Told())
        return "ok"

    @app.handler(Told)
    async def told(event: Told) -> None:
        log.append("told")

    async def main(what: str, **options: Any) -> list[str]:
        log.clear()
        async with app:
            if what == "raise":
                with pytest.raises(LookupError):
                    await app.send(Ask(what), **options)
            else:
                assert await app.send(Ask(what), **options) == "ok"
            return list(log)

    around = ["enter a", "enter b", "handle cb1", "leave b", "leave a"]
    for options in ({}, {"id": "0" * 32}):
        assert asyncio.run(main("reply", **options)) == around
        assert asyncio.run(main("raise", **options)) == around
        assert asyncio.run(main("publish", **options)) == [*around[:3], "told", *around[3:]]


def test_a_handler_of_an_event_has_its_own_value() -> None:
    app = Catga("providers")
    log: list[str] = []

    @app.provide
    async def a() -> AsyncIterator[A]:
        log.append("enter")
        yield A()
        log.append("leave")

    for name in ("one", "two"):

        @app.handler(Told, id=name)
        async def told(event: Told, a: A) -> None:
            log.append("handle")

    async def main() -> None:
        async with app:
            await app.publish(Told())

    asyncio.run(main())
    assert log == ["enter", "handle", "leave"] * 2


def test_an_override_stands_in_place_of_a_provider() -> None:
    app = Catga("providers")

    @app.provide
    def a() -> A:
        raise AssertionError("stands aside")

    @app.provide
    def b(a: A) -> B:
        return B(f"b of {a.label}")

    @app.handler(Ask)
    async def ask(cmd: Ask, b: B) -> str:
        return b.label

    async def main() -> str:
        app.overrides[A] = A("a fake")
        async with app:
            return await app.send(Ask())

    assert asyncio.run(main()) == "b of a fake"


def test_what_nothing_provides_is_named_with_what_is_known() -> None:
    app = Catga("providers")

    @app.provide
    def b() -> B:
        return B()

    @app.handler(Ask)
    async def ask(cmd: Ask, a: A, ctx: Context) -> str:
        return ""

    (mistake,) = start(app)
    assert type(mistake) is MissingProvider
    assert mistake.what == "nothing provides A, which parameter 'a' of the handler of Ask asks for"
    assert mistake.why == "known are: B, Context"
    assert mistake.fix == "write `@app.provide` over a function that returns A"


def test_what_a_provider_needs_and_nothing_provides_is_named() -> None:
    app = Catga("providers")

    @app.provide
    def a(b: B, c: C, strange) -> A:  # type: ignore[no-untyped-def]
        return A()

    @app.provide
    def b() -> B:
        return B()

    (mistake,) = start(app)
    assert type(mistake) is MissingProvider
    assert mistake.what == "the provider of A needs C, None, which nothing provides"
    assert mistake.fix == "provide it, and break any circle"


def test_a_circle_is_named() -> None:
    app = Catga("providers")

    @app.provide
    def a(b: B) -> A:
        return A()

    @app.provide
    def b(a: A) -> B:
        return B()

    assert sorted(mistake.what for mistake in start(app)) == [
        "the provider of A needs B, which nothing provides",
        "the provider of B needs A, which nothing provides",
    ]


def test_a_provider_says_what_it_gives() -> None:
    app = Catga("providers")

    @app.provide
    def silent():  # type: ignore[no-untyped-def]
        return A()

    @app.provide
    def unknown() -> "Nowhere":  # type: ignore[name-defined]  # noqa: F821
        return A()

    first, second = start(app)
    assert first.what == second.what == "a provider does not say what it gives"
    assert "silent" in first.where
    assert first.why == ""
    assert "Nowhere" in second.why


@pytest.mark.parametrize("per_message", [False, True])
def test_a_provider_cannot_need_a_value_of_one_message(per_message: bool) -> None:
    app = Catga("providers")

    @app.provide
    async def a() -> AsyncIterator[A]:
        yield A()

    if per_message:

        @app.provide
        async def each(a: A) -> AsyncIterator[B]:
            yield B()
    else:

        @app.provide
        def once(a: A) -> B:
            return B()

    (mistake,) = start(app)
    assert mistake.what == "the provider of B needs a per-message value"
    assert mistake.fix == "ask for it in the handler instead"
