"""Everything wrong is found when an app starts, all of it at once, each mistake with its place and its fix."""

import asyncio
import enum
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Annotated, Any, Optional

import msgspec
import pytest

from catga import Batch, Catga, Command, Context, Event, Query, Result, Router, StreamQuery, Transaction
from catga.errors import (
    ConfigurationError,
    DuplicateHandler,
    DuplicateName,
    HandlerDefinitionError,
    MessageDefinitionError,
    MissingProvider,
    MissingUpcaster,
)


class Add(Command[int]):
    a: int


class Close(Command):
    order: str


class Seen(Event):
    page: str


class Count(StreamQuery[int]):
    upto: int


def mistakes_of(app: Catga) -> list[ConfigurationError]:
    async def main() -> list[ConfigurationError]:
        try:
            await app.start()
        except ConfigurationError as error:
            return list(error.mistakes)
        await app.stop()
        return []

    return asyncio.run(main())


def the_one(app: Catga, kind: type[ConfigurationError], what: str) -> ConfigurationError:
    (mistake,) = mistakes_of(app)
    assert type(mistake) is kind
    assert mistake.what == what
    assert mistake.where
    assert mistake.fix
    return mistake


def app_with(message: Any, function: Callable[..., Any], **options: Any) -> Catga:
    app = Catga("mistakes")
    app.handler(message, **options)(function)
    return app


# -- the form of a handler --------------------------------------------------------------------------------------------


def test_a_handler_must_be_async() -> None:
    def add(cmd: Add) -> int:
        return 1

    mistake = the_one(app_with(Add, add), HandlerDefinitionError, "the handler of Add is not an async function")
    assert "async def add" in mistake.fix
    assert mistake.where.endswith(f"test_mistakes.py:{add.__code__.co_firstlineno})")
    assert "test_a_handler_must_be_async" in mistake.where


def test_a_stream_handler_must_yield() -> None:
    async def count(query: Count) -> AsyncIterator[int]:
        raise NotImplementedError

    the_one(app_with(Count, count), HandlerDefinitionError, "the handler of stream query Count must yield")


def test_another_handler_must_not_yield() -> None:
    async def add(cmd: Add) -> AsyncIterator[int]:
        yield 1

    the_one(app_with(Add, add), HandlerDefinitionError, "the handler of Add is not an async function")


def test_a_handler_takes_its_message() -> None:
    async def nothing() -> int:
        return 1

    async def other(cmd: Close) -> int:
        return 1

    async def single(events: Seen) -> None: ...

    async def listed(event: list[Seen]) -> None: ...

    the_one(app_with(Add, nothing), HandlerDefinitionError, "the handler of Add takes no message")
    mistake = the_one(app_with(Add, other), HandlerDefinitionError, "the handler of Add takes Close as its message")
    assert mistake.fix == "annotate 'cmd' with Add"
    mistake = the_one(
        app_with(Seen, single, batch=Batch()), HandlerDefinitionError, "the handler of Seen takes Seen as its message"
    )
    assert mistake.fix == "annotate 'events' with list[Seen]"
    wrong = app_with(Seen, listed)
    mistake = the_one(wrong, HandlerDefinitionError, f"the handler of Seen takes {list[Seen]} as its message")
    assert mistake.fix == "annotate 'event' with Seen"


def test_every_parameter_says_what_it_wants() -> None:
    async def add(cmd: Add, ctx: Context, strange, other) -> int:  # type: ignore[no-untyped-def]
        return 1

    first, second = mistakes_of(app_with(Add, add))
    assert first.what == "parameter 'strange' of the handler of Add has no annotation"
    assert second.what == "parameter 'other' of the handler of Add has no annotation"


def test_an_annotation_that_cannot_be_resolved_is_told() -> None:
    async def add(cmd: "Ad") -> int:  # type: ignore[name-defined]  # noqa: F821
        return 1

    mistake = the_one(app_with(Add, add), HandlerDefinitionError, "the handler of Add has unknown annotations")
    assert "'Ad'" in mistake.why


def test_the_locals_of_the_caller_are_known() -> None:
    class Local(Command[int]):
        pass

    app = Catga("mistakes")

    @app.handler(Local)
    async def add(cmd: "Local") -> "int":
        return 1

    assert mistakes_of(app) == []


def returning(annotation: Any) -> Callable[..., Any]:
    async def handle(message: Any) -> Any: ...

    handle.__annotations__["return"] = annotation
    return handle


def yielding(annotation: Any) -> Callable[..., Any]:
    async def handle(message: Any) -> Any:
        yield 1

    handle.__annotations__["return"] = annotation
    return handle


class Ask(Query[Optional[int]]):  # noqa: UP045 - another spelling of the same type
    pass


@pytest.mark.parametrize(
    ("message", "annotation"),
    [
        (Add, int),
        (Add, Any),
        (Close, None),
        (Close, type(None)),
        (Close, Any),
        (Ask, int | None),
        (Seen, None),
        (Seen, Any),
    ],
)
def test_replies_that_fit(message: Any, annotation: Any) -> None:
    assert mistakes_of(app_with(message, returning(annotation))) == []


@pytest.mark.parametrize(
    ("message", "annotation", "found", "declared"),
    [
        (Add, str, "str", "int"),
        (Add, None, "NoneType", "int"),
        (Add, int | None, "int | None", "int"),
        (Close, int, "int", "None"),
        (Ask, str, "str", "Optional[int]"),
        (Seen, int, "int", "None"),
        (Add, list[int], "list[int]", "int"),
    ],
)
def test_replies_that_do_not_fit(message: Any, annotation: Any, found: str, declared: str) -> None:
    wrong = app_with(message, returning(annotation))
    what = f"the handler of {message.__name__} returns {found}, and {message.__name__} declares {declared}"
    mistake = the_one(wrong, HandlerDefinitionError, what)
    assert declared in mistake.fix


def test_a_batch_handler_replies_nothing() -> None:
    class Sum(Command[int]):
        pass

    async def good(cmds: list[Sum]) -> None: ...

    async def bad(cmds: list[Sum]) -> int:
        return 1

    assert mistakes_of(app_with(Sum, good, batch=Batch())) == []
    what = "the handler of Sum returns int, and Sum declares None"
    the_one(app_with(Sum, bad, batch=Batch()), HandlerDefinitionError, what)


@pytest.mark.parametrize("annotation", [AsyncIterator[int], AsyncGenerator[int, None], AsyncIterator[Any], Any])
def test_streams_that_fit(annotation: Any) -> None:
    assert mistakes_of(app_with(Count, yielding(annotation))) == []


@pytest.mark.parametrize(("annotation", "found"), [(AsyncIterator[str], "str"), (list[int], "list[int]"), (str, "str")])
def test_streams_that_do_not_fit(annotation: Any, found: str) -> None:
    what = f"the handler of Count returns {found}, and Count declares int"
    the_one(app_with(Count, yielding(annotation)), HandlerDefinitionError, what)


def test_without_annotations_nothing_is_held_against_a_handler() -> None:
    async def add(cmd):  # type: ignore[no-untyped-def]
        return 1

    assert mistakes_of(app_with(Add, add)) == []


# -- what belongs together --------------------------------------------------------------------------------------------


def test_only_messages_can_be_handled() -> None:
    async def handle(message: Any) -> None: ...

    for strange in (int, "Add", Catga, None):
        the_one(app_with(strange, handle), HandlerDefinitionError, f"{strange!r} is no message type")
    from catga import Message

    the_one(app_with(Message, handle), HandlerDefinitionError, f"{Message!r} is no message type")


def test_a_command_has_one_handler_and_an_event_has_many() -> None:
    app = Catga("mistakes")

    @app.handler(Add, id="one")
    async def one(cmd: Add) -> int:
        return 1

    @app.handler(Add, id="two")
    async def two(cmd: Add) -> int:
        return 2

    @app.handler(Seen, id="three")
    async def three(event: Seen) -> None: ...

    @app.handler(Seen, id="four")
    async def four(event: Seen) -> None: ...

    mistake = the_one(app, DuplicateHandler, "Add has two handlers")
    assert ".one " in mistake.where
    assert ".two " in mistake.where


@pytest.mark.parametrize(
    ("first", "second"),
    [({"id": "x"}, {"id": "x"}), ({"id": "x"}, {"id": "y", "aliases": ("x",)}), ({"aliases": ("z",)}, {"id": "z"})],
)
def test_an_id_or_alias_belongs_to_one_handler(first: dict[str, Any], second: dict[str, Any]) -> None:
    app = Catga("mistakes")

    @app.handler(Seen, **first)
    async def one(event: Seen) -> None: ...

    @app.handler(Seen, **second)
    async def two(event: Seen) -> None: ...

    (mistake,) = mistakes_of(app)
    assert type(mistake) is DuplicateHandler
    assert mistake.what.startswith("two handlers have the id ")
    assert ".one " in mistake.where
    assert ".two " in mistake.where


def test_one_handler_may_name_itself_twice() -> None:
    async def seen(event: Seen) -> None: ...

    assert mistakes_of(app_with(Seen, seen, id="x", aliases=("x", "y"))) == []


def test_a_name_belongs_to_one_message() -> None:
    class First(Command, name="thing"):
        pass

    class Second(Command, aliases=("thing",)):
        pass

    app = Catga("mistakes", messages=(First, Second))
    mistake = the_one(app, DuplicateName, "two messages are named 'thing'")
    assert "First and " in mistake.where
    assert mistake.where.endswith("Second")
    assert mistakes_of(Catga("mistakes", messages=(First, First))) == []


def test_each_version_needs_what_lifts_the_one_before() -> None:
    class Old(Event, version=4):
        pass

    app = Catga("mistakes", messages=(Old,))
    app.upcast(Old, 2)(lambda fields: fields)
    first, second = mistakes_of(app)
    assert {type(first), type(second)} == {MissingUpcaster}
    assert first.what == "Old is at version 4, and nothing lifts version 1"
    assert second.what == "Old is at version 4, and nothing lifts version 3"
    app.upcast(Old, 1)(lambda fields: fields)
    app.upcast(Old, 3)(lambda fields: fields)
    assert mistakes_of(app) == []


# -- what messages hold -----------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1


class Point(msgspec.Struct):
    x: int
    next: "Point | None" = None


class Strange:
    pass


def holding(annotation: Any) -> Catga:
    message = type("Holds", (Event,), {"__annotations__": {"what": annotation}, "__module__": __name__})
    return Catga("mistakes", messages=(message,))


@pytest.mark.parametrize(
    "annotation",
    [
        int,
        Colour,
        Point,
        list[Point],
        dict[str, tuple[int, Point | None]],
        frozenset[int],
        Annotated[int, msgspec.Meta(ge=0)],
        Any,
        list[list[list[Colour]]],
    ],
)
def test_data_can_be_held(annotation: Any) -> None:
    assert mistakes_of(holding(annotation)) == []


@pytest.mark.parametrize(
    "annotation",
    [
        Strange,
        list[Strange],
        list[list[Strange]],
        dict[str, list[tuple[list[Strange]]]],
        dict[str, Strange],
        dict[Strange, str],
        tuple[int, Strange],
        tuple[Strange, ...],
        Strange | None,
        frozenset[Strange],
        Annotated[Strange, "anything"],
    ],
)
def test_what_cannot_be_encoded_cannot_be_held(annotation: Any) -> None:
    what = "Holds holds or replies what cannot be encoded: Strange"
    assert the_one(holding(annotation), MessageDefinitionError, what).where == f"{__name__}.Holds"


def test_inside_a_struct_it_is_found_too() -> None:
    class Outer(msgspec.Struct):
        parts: list[Strange]
        again: "Strange | None" = None

    Outer.__annotations__["again"] = Strange | None
    the_one(holding(Outer), MessageDefinitionError, "Holds holds or replies what cannot be encoded: Strange")


def test_a_reply_must_be_data_as_well() -> None:
    class Ask(Query[Result[int, ValueError]]):
        pass

    what = "Ask holds or replies what cannot be encoded: ValueError"
    the_one(Catga("mistakes", messages=(Ask,)), MessageDefinitionError, what)


def test_several_strange_ones_are_named_in_order() -> None:
    class Another:
        pass

    what = "Holds holds or replies what cannot be encoded: Another, Strange"
    the_one(holding(tuple[Strange, Another, Strange]), MessageDefinitionError, what)


def test_a_message_that_msgspec_cannot_take_is_told() -> None:
    mistake = the_one(holding(dict[str, "Missing"]), MessageDefinitionError, "Holds cannot be encoded")  # type: ignore[name-defined]  # noqa: F821
    assert "Missing" in mistake.why


def test_a_reply_of_an_unknown_name_is_told() -> None:
    class Ask(Query["Nowhere"]):  # type: ignore[name-defined]
        pass

    what = "the reply type 'Nowhere' of Ask is not known"
    the_one(Catga("mistakes", messages=(Ask,)), MessageDefinitionError, what)


# -- middleware and routers -------------------------------------------------------------------------------------------


def plain(message: Any, ctx: Any, next: Any) -> Any: ...


async def short(message: Any, ctx: Any) -> Any: ...


async def long(message: Any, ctx: Any, next: Any, more: Any) -> Any: ...


class Callable3:
    async def __call__(self, message: Any, ctx: Any, next: Any) -> Any:
        return await next(message, ctx)


class Plain3:
    def __call__(self, message: Any, ctx: Any, next: Any) -> Any: ...


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        (plain, "a middleware is not an async function"),
        (Plain3(), "a middleware is not an async function"),
        (3, "a middleware is not an async function"),
        (short, "a middleware does not take (message, ctx, next)"),
        (long, "a middleware does not take (message, ctx, next)"),
    ],
)
def test_a_middleware_has_its_form(layer: Any, what: str) -> None:
    async def close(cmd: Close) -> None: ...

    the_one(app_with(Close, close, middleware=(layer,)), HandlerDefinitionError, what)


def test_objects_may_be_middleware() -> None:
    async def close(cmd: Close) -> None: ...

    assert mistakes_of(app_with(Close, close, middleware=(Callable3(),))) == []


def test_all_of_them_are_told_together() -> None:
    app = Catga("mistakes")
    router = Router()

    @app.handler(Add)
    async def add(cmd: Add, missing: Point) -> str:
        return ""

    @router.handler(Close)
    def close(cmd: Close) -> None: ...  # type: ignore[type-var]

    app.include(router)
    app.upcast(Seen, 1)(lambda fields: fields)
    found = mistakes_of(app)
    assert [type(mistake) for mistake in found] == [HandlerDefinitionError, HandlerDefinitionError, MissingProvider]

    async def main() -> str:
        with pytest.raises(ConfigurationError) as caught:
            await app.start()
        return caught.value.what

    text = asyncio.run(main())
    assert text.startswith("app 'mistakes' cannot start: 3 mistakes\n1. ")
    assert "\n3. [CTG-1005]" in text


def test_writing_without_a_store_is_a_mistake() -> None:
    async def close(cmd: Close, tx: Transaction) -> None: ...

    (mistake,) = mistakes_of(app_with(Close, close))
    assert mistake.code == "CTG-2008"
    assert mistake.what == "the handler of Close writes, and app 'mistakes' has no store"
