"""Bad arguments to lanes, ring and batcher: the right error, with a text that says what to change."""

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from catga._core import Batcher, Lanes, Ring

HUGE = 1 << 70


def lanes() -> Any:
    return Lanes(4)


def ring() -> Any:
    return Ring(4, lambda: None)


def batcher() -> Any:
    return Batcher(4, 4, 4)


VALUES = [
    (lambda: Lanes(0), "capacity must be 1 or more, not 0"),
    (lambda: Lanes(-1), "capacity must be 1 or more, not -1"),
    (lambda: Lanes(HUGE), "capacity must fit 63 bits"),
    (lambda: Lanes(1 << 40), "capacity must be at most"),
    (lambda: Lanes(1, policy="spill"), "policy must be 'block', .*, not 'spill'"),  # type: ignore[arg-type]
    (lambda: Lanes(1, aging_ms=0), "aging_ms must be 1 or more"),
    (lambda: lanes().put(1, None, 8, 0), "priority must be 0 to 7, not 8"),
    (lambda: lanes().put(1, None, -1, 0), "priority must be 0 or more, not -1"),
    (lambda: lanes().put(1, None, 0, -1), "now_ms must be 0 or more"),
    (lambda: lanes().put_many([1], None, b"\x08", 0), "priority must be 0 to 7, not 8"),
    (lambda: lanes().put_many([1], None, b"", 0), "priorities has 0 members for 1 items"),
    (lambda: lanes().put_many([1], [None, b"k"], 0, 0), "keys has 2 members for 1 items"),
    (lambda: lanes().drain(-1, 0), "most must be 0 or more"),
    (lambda: Ring(0, print), "capacity must be 1 or more"),
    (lambda: Ring(1 << 40, print), "capacity must be at most"),
    (lambda: ring().drain(-1), "most must be 0 or more"),
    (lambda: Batcher(0, 1, 1), "count must be 1 or more"),
    (lambda: Batcher(1, 0, 1), "size must be 1 or more"),
    (lambda: Batcher(1, 1, -1), "age_ms must be 0 or more"),
    (lambda: batcher().add(1, -1, None, 0), "size must be 0 or more"),
    (lambda: batcher().take(-1), "now_ms must be 0 or more"),
]

TYPES = [
    (lambda: Lanes("9"), "capacity must be an int, not str"),  # type: ignore[arg-type]
    (lambda: lanes().put(1, "key", 0, 0), "key must be bytes or None, not str"),
    (lambda: lanes().put(1, None, 1.0, 0), "priority must be an int, not float"),
    (lambda: lanes().put(1, None, None, 0), "priority must be an int, not NoneType"),
    (lambda: lanes().put_many(5, None, 0, 0), "items must be a sequence, not int"),
    (lambda: lanes().put_many({1}, None, 0, 0), "items must be a sequence, not set"),
    (lambda: lanes().put_many([1], ["key"], 0, 0), "keys must be bytes or None, not str"),
    (lambda: lanes().done(None), "key must be bytes, not NoneType"),
    (lambda: lanes().done_many([1]), "keys must be bytes or None, not int"),
    (lambda: Ring(1, None), "wake must be callable, not NoneType"),  # type: ignore[arg-type]
    (lambda: batcher().add(1, 1, 5, 0), "key must be bytes or None, not int"),
]


@pytest.mark.parametrize(("call", "text"), VALUES)
def test_a_bad_value(call: Callable[[], object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.parametrize(("call", "text"), TYPES)
def test_a_bad_type(call: Callable[[], object], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        call()


def test_a_bad_batch_changes_nothing() -> None:
    lanes: Lanes[int] = Lanes(4)
    with pytest.raises(ValueError, match="priority"):
        lanes.put_many([1, 2], None, b"\0\x09", 0)
    with pytest.raises(TypeError, match="keys"):
        lanes.put_many([1, 2], [b"k", 5], 0, 0)  # type: ignore[list-item]
    assert len(lanes) == 0


def test_any_sequence_will_do() -> None:
    lanes: Lanes[object] = Lanes(20)
    for items in ([1, 2], (1, 2), deque([1, 2]), range(1, 3)):
        assert lanes.put_many(items, deque([None, b"k"]), b"\1\1", 0) == (2, [])
        assert lanes.drain(9, 0) == [1, 2]
        assert lanes.done_many(deque([None, b"k"])) == 0


def test_none_is_an_item_like_any_other() -> None:
    lanes: Lanes[None] = Lanes(1, policy="drop_oldest")
    assert lanes.put(None, None, 0, 0) == (True, None)
    assert lanes.put_many([None], None, 0, 0) == (1, [None])
    assert lanes.drain(9, 0) == [None]


def test_classes_say_where_they_are_from() -> None:
    for kind in (Lanes, Ring, Batcher):
        assert kind.__module__ == "catga._core"
        assert kind[int].__origin__ is kind  # type: ignore[attr-defined, misc]
