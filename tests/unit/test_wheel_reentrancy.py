"""A finaliser that calls back into the wheel which dropped it finds it whole and unlocked."""

import faulthandler
import gc
import sys
import weakref
from collections.abc import Callable, Iterator

import pytest

from catga._core import Wheel


@pytest.fixture(autouse=True)
def _watchdog() -> Iterator[None]:
    """Ends the process on a deadlock: one here holds the interpreter, which any other time limit needs."""
    faulthandler.dump_traceback_later(20, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()


class Nosy:
    """On its end it does everything with the wheel that can be done, and says so."""

    def __init__(self, wheel: "Wheel[object]", ends: list[int]) -> None:
        self.wheel = wheel
        self.ends = ends

    def __del__(self) -> None:
        wheel = self.wheel
        key = wheel.insert(1 << 50, "from a finaliser")
        wheel.reset(key, 1 << 51)
        wheel.insert_many([1 << 50], ["too"])
        wheel.next_deadline()
        wheel.drain(-(1 << 40))
        assert wheel.cancel(key) == "from a finaliser"
        gc.collect()
        self.ends.append(len(wheel))


def filled(ends: list[int]) -> tuple["Wheel[object]", list[int]]:
    wheel = Wheel[object](0)
    return wheel, wheel.insert_many([-1, 5, 5_000, 1 << 45], [Nosy(wheel, ends) for _ in range(4)])


@pytest.mark.parametrize(
    "drop",
    [
        lambda wheel, keys: [wheel.cancel(key) for key in keys] and None,
        lambda wheel, _: wheel.drain(1 << 46) and None,
        lambda wheel, _: wheel.clear() and None,
    ],
    ids=["cancel", "drain", "clear"],
)
def test_an_item_dropped_on_its_way_out_may_call_back(drop: Callable[..., None]) -> None:
    ends: list[int] = []
    wheel, keys = filled(ends)
    drop(wheel, keys)
    assert len(ends) == 4
    assert len(wheel) == 4  # "too", four times


@pytest.mark.parametrize(
    "refused",
    [
        lambda wheel, ends: wheel.insert(2**64, Nosy(wheel, ends)),
        lambda wheel, ends: wheel.insert_many([1], [Nosy(wheel, ends) for _ in range(2)]),
        lambda wheel, ends: wheel.insert_many([1, None], [Nosy(wheel, ends)]),
        lambda wheel, ends: wheel.insert_many([1], Unready(wheel, ends)),
    ],
    ids=["deadline", "lengths", "deadlines", "items"],
)
def test_an_item_that_was_refused_may_call_back(refused: Callable[..., object]) -> None:
    ends: list[int] = []
    wheel = Wheel[object](0)
    with pytest.raises((ValueError, TypeError)):
        refused(wheel, ends)
    gc.collect()
    assert ends


class Unready:
    """A sequence that gives one item, calls the wheel, and then fails."""

    def __init__(self, wheel: "Wheel[object]", ends: list[int]) -> None:
        self.wheel = wheel
        self.ends = ends

    def __getitem__(self, at: int) -> Nosy:
        if at:
            self.wheel.insert(1, at)
            raise ValueError("no more")
        return Nosy(self.wheel, self.ends)


def test_arguments_may_call_back_while_they_are_read() -> None:
    wheel = Wheel[object](0)

    class Deadline:
        def __index__(self) -> int:
            wheel.insert(1, "inner")
            return 1

    wheel.insert(Deadline(), "outer")
    wheel.insert_many([Deadline(), Deadline()], ["a", "b"])
    wheel.reset(wheel.insert(9, "late"), Deadline())
    assert wheel.drain(Deadline()) == ["inner", "outer", "inner", "inner", "a", "b", "inner", "late", "inner"]


def test_a_collected_wheel_lets_its_finalisers_call_back() -> None:
    ends: list[int] = []
    wheel, _ = filled(ends)
    del wheel
    gc.collect()
    assert len(ends) == 4


def test_an_item_dropped_while_the_collector_clears_the_wheel_may_call_back() -> None:
    ends: list[int] = []

    class Late:
        """Its own reference would bring the wheel back to life; a weak one made this late is not cleared any more."""

        def __init__(self, parent: "weakref.ref[Parent]") -> None:
            self.parent = parent

        def __del__(self) -> None:
            parent = self.parent()
            ends.append(-1 if parent is None else len(parent.wheel))

    class Parent:
        def __init__(self, wheel: "Wheel[object]") -> None:
            self.wheel = wheel

        def __del__(self) -> None:
            # After the collector has run the finalisers it found, so that this one runs while the wheel is cleared.
            self.wheel.insert(0, Late(weakref.ref(self)))

    wheel = Wheel[object](0)
    wheel.insert(1, Parent(wheel))
    del wheel
    gc.collect()
    gc.collect()
    assert ends in ([0], [-1])


def test_a_wheel_that_dies_drops_items_which_use_another() -> None:
    ends: list[int] = []
    other = Wheel[object](0)
    wheel = Wheel[object](0)
    wheel.insert(1, Nosy(other, ends))
    del wheel
    assert ends == [1]
