"""A finaliser may call back into the holder that drops its object: no lock may be held, and no state half-changed."""

import faulthandler
import gc
import sys
from collections.abc import Callable, Iterator

import pytest

from catga._core import Batcher, Lanes, Ring


@pytest.fixture(autouse=True)
def watchdog() -> Iterator[None]:
    """The failure that is looked for is a deadlock with the GIL held: only a watchdog that needs no GIL can end it."""
    faulthandler.dump_traceback_later(20, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()


class Last:
    """Calls back when it goes."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call

    def __del__(self) -> None:
        self.call()


class Calls:
    """Counts, so that a test knows its finaliser ran; re-enters the holder with everything it can do."""

    def __init__(self) -> None:
        self.count = 0

    def into_lanes(self, lanes: Lanes[object]) -> Last:
        def call() -> None:
            self.count += 1
            lanes.put("late", b"k", 0, 0)
            lanes.put("late", None, 0, 0)
            lanes.put_many(["late"], None, 7, 0)
            lanes.done(b"k")
            lanes.drain(1, 0)
            lanes.statistics()
            lanes.clear()

        return Last(call)

    def into_ring(self, ring: Ring[object]) -> Last:
        def call() -> None:
            self.count += 1
            ring.push("late")
            ring.drain(1)
            len(ring)

        return Last(call)

    def into_batcher(self, batcher: Batcher[object]) -> Last:
        def call() -> None:
            self.count += 1
            batcher.add("late", 1, b"k", 0)
            batcher.take(0, force=True)
            batcher.deadline()

        return Last(call)


@pytest.fixture
def calls() -> Calls:
    return Calls()


KEYS = pytest.mark.parametrize("key", [None, b"k"])


@KEYS
@pytest.mark.parametrize("policy", ["block", "reject", "drop_newest"])
def test_put_that_is_refused(calls: Calls, policy: str, key: bytes | None) -> None:
    lanes: Lanes[object] = Lanes(1, policy=policy)  # type: ignore[arg-type]
    lanes.put("first", None, 0, 0)
    lanes.put(calls.into_lanes(lanes), key, 0, 0)
    assert calls.count == 1
    lanes.put("first", None, 0, 0)
    lanes.put_many([calls.into_lanes(lanes)], [key], 0, 0)
    assert calls.count == 2


@KEYS
def test_put_that_drops_the_oldest(calls: Calls, key: bytes | None) -> None:
    lanes: Lanes[object] = Lanes(1, policy="drop_oldest")
    lanes.put(calls.into_lanes(lanes), key, 0, 0)
    lanes.put("next", None, 0, 0)
    assert calls.count == 1
    lanes.put_many([calls.into_lanes(lanes), "next"], [key, key], 0, 0)
    assert calls.count == 2


def test_put_that_drops_the_newcomer_for_its_priority(calls: Calls) -> None:
    lanes: Lanes[object] = Lanes(1, policy="drop_oldest")
    lanes.put("urgent", None, 0, 0)
    lanes.put(calls.into_lanes(lanes), None, 7, 0)
    assert calls.count == 1


@KEYS
def test_drain_and_clear_of_the_lanes(calls: Calls, key: bytes | None) -> None:
    lanes: Lanes[object] = Lanes(9)
    for take in (lambda: lanes.drain(9, 0), lanes.clear):
        lanes.put(calls.into_lanes(lanes), key, 0, 0)
        take()
    assert calls.count == 2


@pytest.mark.parametrize("close", [False, True])
def test_push_that_is_refused(calls: Calls, close: bool) -> None:
    ring: Ring[object] = Ring(1, lambda: None)
    ring.push("first")
    if close:
        ring.close()
    ring.push(calls.into_ring(ring))
    assert calls.count == 1


def test_drain_of_the_ring(calls: Calls) -> None:
    ring: Ring[object] = Ring(2, lambda: None)
    ring.push(calls.into_ring(ring))
    ring.push(calls.into_ring(ring))
    ring.drain(9)
    assert calls.count == 2


def test_take_from_the_batcher(calls: Calls) -> None:
    batcher: Batcher[object] = Batcher(9, 9, 9)
    batcher.add(calls.into_batcher(batcher), 1, b"k", 0)
    batcher.add(calls.into_batcher(batcher), 1, None, 0)
    batcher.take(0, force=True)
    assert calls.count == 2


def test_the_collector_clears_holders_whose_items_call_back(calls: Calls) -> None:
    lanes: Lanes[object] = Lanes(9)
    lanes.put(calls.into_lanes(lanes), b"k", 0, 0)
    ring: Ring[object] = Ring(9, lambda: None)
    ring.push(calls.into_ring(ring))
    batcher: Batcher[object] = Batcher(9, 9, 9)
    batcher.add(calls.into_batcher(batcher), 1, b"k", 0)
    del lanes, ring, batcher
    gc.collect()
    assert calls.count == 3


def test_a_holder_that_dies_drops_what_it_holds() -> None:
    gone: list[int] = []
    lanes: Lanes[object] = Lanes(9)
    ring: Ring[object] = Ring(9, lambda: None)
    batcher: Batcher[object] = Batcher(1, 9, 9)
    lanes.put_many([Last(lambda: gone.append(1)), Last(lambda: gone.append(2))], [None, b"k"], 0, 0)
    ring.push(Last(lambda: gone.append(3)))
    ring.close()
    batcher.add(Last(lambda: gone.append(4)), 1, None, 0)
    del lanes, ring, batcher
    assert sorted(gone) == [1, 2, 3, 4]


@pytest.fixture
def eager_collector() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(1)
    yield
    gc.enable()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("eager_collector")
def test_a_collection_in_the_middle_of_a_call(calls: Calls) -> None:
    """Any allocation may start a collection, and that any finaliser: the calls make their objects without the lock."""
    lanes: Lanes[object] = Lanes(16, policy="drop_oldest")
    ring: Ring[object] = Ring(4, lambda: None)
    batcher: Batcher[object] = Batcher(3, 9, 9)
    hoard: list[object] = []

    def litter() -> None:
        for last in (calls.into_lanes(lanes), calls.into_ring(ring), calls.into_batcher(batcher)):
            last.itself = last  # type: ignore[attr-defined]

    def fill() -> None:
        lanes.put_many([1, 2, 3], [b"k", None, b"l"], 3, 0)
        ring.push(1)
        batcher.add(1, 1, b"k", 0)

    operations: list[Callable[[], object]] = [
        lambda: lanes.put(1, b"k", 0, 0),
        lambda: lanes.put_many((1, 2, 3), (b"k", None, b"l"), b"\0\1\2", 0),
        lambda: lanes.drain(2, 0),
        lanes.clear,
        lanes.statistics,
        lambda: lanes.done_many((b"k", b"l")),
        lambda: ring.push(1),
        lambda: ring.drain(2),
        lambda: batcher.add(1, 1, b"k", 0),
        lambda: batcher.take(0, force=True),
    ]
    for at, operation in enumerate(operations * 3):
        gc.disable()
        fill()
        litter()
        # Lists and dicts that were freed would be reused, and a reuse starts no collection.
        hoard.append([([], {}) for _ in range(100)])
        gc.enable()
        operation()
        gc.collect()
        assert calls.count == 3 * (at + 1)


def test_wake_may_use_the_ring() -> None:
    drained: list[object] = []

    def wake() -> None:
        drained.extend(ring.drain(9))
        if len(drained) < 3:
            ring.push(len(drained))

    ring: Ring[object] = Ring(2, wake)
    assert ring.push(0)
    assert drained == [0, 1, 2]


def test_a_wake_that_raises_is_tried_again() -> None:
    fails = [RuntimeError("the loop is closed")]

    def wake() -> None:
        if fails:
            raise fails.pop()
        woken.append(True)

    woken: list[bool] = []
    ring: Ring[str] = Ring(4, wake)
    with pytest.raises(RuntimeError, match="loop is closed"):
        ring.push("a")
    assert ring.push("b")
    assert woken == [True]
    assert ring.drain(9) == ["a", "b"]
