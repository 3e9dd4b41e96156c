"""Validation: every kind of field, right and wrong; the compiled test never passes what the slow one refuses."""

import asyncio
import datetime
import decimal
import enum
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catga import Batch, Catga, Command, Context
from catga.errors import ValidationFailed
from catga.mediator.builtin.checks import quick_check, struct_problem
from catga.middleware import Validation


class Colour(enum.Enum):
    RED = "red"


class Line(msgspec.Struct):
    sku: str
    count: int = 1


class Tree(msgspec.Struct):
    name: str
    children: list["Tree"] = []


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Place:
    city: str


class Movie(TypedDict):
    title: str


class Text(str):
    __slots__ = ()


Positive = Annotated[int, msgspec.Meta(gt=0)]
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

# (declared, values that are right, values that are wrong)
KINDS: list[tuple[Any, list[Any], list[Any]]] = [
    (int, [0, -1, 10**30], [True, 1.0, "1", None]),
    (float, [1.5, 1], [True, "1", None, decimal.Decimal(1)]),
    (str, ["", "x", Text("x")], [b"x", 1, None]),
    (bool, [True, False], [0, 1, "true", None]),
    (bytes, [b"", b"x"], ["x", bytearray(b"x"), None]),
    (None, [None], [0, ""]),
    (Any, [object(), None, 1], []),
    (object, [object(), None], []),
    (datetime.datetime, [NOW], ["2026-01-01T00:00:00Z", NOW.date(), 1]),
    (datetime.date, [NOW.date()], ["2026-01-01"]),
    (uuid.UUID, [uuid.UUID(int=1)], [str(uuid.UUID(int=1)), 1]),
    (decimal.Decimal, [decimal.Decimal(1)], [1, 1.0, "1"]),
    (Colour, [Colour.RED], ["red", "RED", None]),
    (Literal["a", 1], ["a", 1], ["b", 2, True, None, []]),
    (str | None, ["x", None], [1, b"x"]),
    (int | str | None, [1, "x", None], [True, 1.5, b""]),
    (Line | None, [Line("a"), None], [{"sku": "a"}, Line(1)]),  # type: ignore[arg-type]
    (list[int], [[], [1, 2]], [[1, "2"], [True], (1,), {1}, None]),
    (list[Any], [[], [1, "2"]], [(1,), None]),
    (list[list[int]], [[[1], []]], [[1], [["1"]]]),
    (set[str], [set(), {"a"}], [{1}, ["a"], frozenset({"a"})]),
    (frozenset[int], [frozenset({1})], [{1}, frozenset({"a"})]),
    (tuple[int, ...], [(), (1, 2)], [[1], (1, "2")]),
    (tuple[int, str], [(1, "a")], [(1,), (1, "a", 2), ("a", 1), [1, "a"]]),
    (dict[str, int], [{}, {"a": 1}], [{1: 1}, {"a": "1"}, [("a", 1)]]),
    (dict[str, list[Line]], [{"a": [Line("x")]}], [{"a": [Line(1)]}, {"a": [{"sku": "x"}]}]),  # type: ignore[arg-type]
    (Line, [Line("a", 2)], [Line("a", "2"), {"sku": "a"}, None]),  # type: ignore[arg-type]
    (list[Line], [[Line("a")]], [[Line("a"), Line(2)], [{"sku": "a"}]]),  # type: ignore[arg-type]
    (Tree, [Tree("a", [Tree("b")])], [Tree("a", [Tree("b", [Tree(1)])]), Tree("a", ["b"])]),  # type: ignore[arg-type,list-item]
    (Positive, [1], [0, -1, "1", True]),
    (list[Positive], [[1, 2]], [[1, 0]]),
    (
        Annotated[datetime.datetime, msgspec.Meta(tz=True)],
        [NOW],
        [NOW.isoformat(), NOW.replace(tzinfo=None)],
    ),
    (Annotated[str, msgspec.Meta(max_length=2)], ["ab"], ["abc", 1]),
    (Point, [Point(1, 2)], [(1, 2), [1, 2]]),
    (Place, [Place("x")], [{"city": "x"}, Place(1)]),  # type: ignore[arg-type]
    (Movie, [{"title": "x"}], [{"title": 1}, {}, []]),
    (Sequence[int], [[1]], [["1"], 1]),
    (Mapping[str, int], [{"a": 1}], [{"a": "1"}, []]),
    (list, [[1, "a"]], [(), None]),
]


def struct_of(declared: Any) -> type[msgspec.Struct]:
    return msgspec.defstruct("Held", [("value", declared)], namespace={"__annotations__": {}})


@pytest.mark.parametrize(("declared", "right", "wrong"), KINDS, ids=[str(kind[0]) for kind in KINDS])
def test_every_kind(declared: Any, right: list[Any], wrong: list[Any]) -> None:
    cls = struct_of(declared)
    quick = quick_check(cls)
    for value in right:
        assert struct_problem(cls(value)) is None, value
    for value in wrong:
        held = cls(value)
        assert not quick(held), value
        problem = struct_problem(held)
        assert problem is not None, value
        assert problem.path.startswith("value")


@pytest.mark.parametrize(
    "declared",
    [
        *(int, float, str, bool, bytes, None, Any, datetime.datetime, uuid.UUID, decimal.Decimal, Colour),
        *(str | None, int | str | None, Line | None, Line, Tree),
        *(list[int], list[Any], list[list[int]], list[Line], set[str], frozenset[int]),
        *(tuple[int, ...], tuple[int, str], dict[str, int], dict[str, list[Line]]),
    ],
)
def test_what_is_right_and_common_needs_no_second_look(declared: Any) -> None:
    right = next(kind[1] for kind in KINDS if kind[0] == declared)
    quick = quick_check(struct_of(declared))
    for value in right:
        if not isinstance(value, Text):
            assert quick(struct_of(declared)(value)), value


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.binary(),
        st.just(Line("a")),
        st.just(Colour.RED),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers()), inner, max_size=3),
        st.builds(lambda sku, count: Line(sku, count), inner, inner),
    ),
    max_leaves=6,
)


@given(VALUES)
def test_the_quick_test_never_passes_what_the_slow_one_refuses(value: Any) -> None:
    for declared, _, _ in KINDS:
        cls = struct_of(declared)
        held = cls(value)
        if quick_check(cls)(held):
            assert struct_problem(held) is None, declared


@pytest.mark.parametrize(
    ("value", "path", "found", "expected"),
    [
        ([Line("a"), Line(2)], "value[1].sku", "int", "str"),  # type: ignore[arg-type]
        ([Line("a"), "b"], "value[1]", "str", "Line"),
        (("a",), "value", "tuple", "list[Line]"),
    ],
)
def test_it_says_where(value: Any, path: str, found: str, expected: str) -> None:
    problem = struct_problem(struct_of(list[Line])(value))
    assert problem is not None
    assert problem.path == path
    assert problem.found == found
    assert problem.expected.endswith(expected) or problem.expected.replace(f"{__name__}.", "").endswith(expected)


def test_keys_and_values_of_dicts_are_told_by_position() -> None:
    wrong_key = struct_problem(struct_of(dict[str, int])({"a": 1, 2: 2}))
    wrong_value = struct_problem(struct_of(dict[str, int])({"secret": "1"}))
    assert wrong_key is not None
    assert wrong_key.path == "value, key 1"
    assert wrong_value is not None
    assert wrong_value.path == "value, value 0"


class Order(Command[int]):
    customer: str
    lines: list[Line]


class Empty(Command[int]):
    pass


def app_with_validation(handled: list[Any]) -> Catga:
    app = Catga("shop", middleware=(Validation(),))

    @app.handler(Order)
    async def order(cmd: Order, ctx: Context) -> int:
        handled.append(cmd)
        return len(cmd.lines)

    @app.handler(Empty)
    async def empty(cmd: Empty) -> int:
        return 0

    return app


def test_in_an_app_a_wrong_message_never_reaches_its_handler() -> None:
    handled: list[Any] = []

    async def main() -> None:
        async with app_with_validation(handled) as app:
            assert await app.send(Order("ann", [Line("a")])) == 1
            assert await app.send(Empty()) == 0
            with pytest.raises(ValidationFailed) as caught:
                await app.send(Order("ann", [Line("top secret", "seven")]))  # type: ignore[arg-type]
            text = str(caught.value)
            assert "Order.lines[0].count holds a str" in text
            assert "declares it as int" in text
            assert "fix:" in text
            assert "seven" not in text
            assert "secret" not in text

    asyncio.run(main())
    assert len(handled) == 1


def test_a_batch_is_checked_message_by_message() -> None:
    app = Catga("shop")

    @app.handler(Order, batch=Batch())
    async def orders(messages: list[Order]) -> None: ...

    async def inner(messages: Any, ctx: Context) -> int:
        return len(messages)

    ((handler, _),) = app.registrations()
    call = Validation().compose(inner, handler)
    right, wrong = Order("ann", []), Order("bob", [1])  # type: ignore[list-item]
    assert asyncio.run(call([right, right], Context(app))) == 2
    with pytest.raises(ValidationFailed, match=r"Order.lines\[0\] holds a int"):
        asyncio.run(call([right, wrong], Context(app)))


def test_it_raises_where_it_is_awaited() -> None:
    """Raised by the call, it would leak the siblings in a gather."""

    async def inner(message: Any, ctx: Context) -> int:
        return 1

    app = app_with_validation([])
    (handler, _), *_ = app.registrations()
    call = Validation().compose(inner, handler)
    coroutine = call(Order(1, []), Context(app))  # type: ignore[arg-type]
    with pytest.raises(ValidationFailed):
        asyncio.run(coroutine)
