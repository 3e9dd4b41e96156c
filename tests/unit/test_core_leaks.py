"""Every holder shows the garbage collector what it holds, and lets go of exactly what it took."""

import gc
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from catga._core import Batcher, Lanes, Ring


class Node:
    holder: Any


def lanes_without_key(item: object) -> object:
    lanes: Lanes[object] = Lanes(10)
    lanes.put(item, None, 3, 0)
    return lanes


def lanes_with_key(item: object) -> object:
    lanes: Lanes[object] = Lanes(10)
    lanes.put_many(["first", item], [b"k", b"k"], 0, 0)
    return lanes


def ring(item: object) -> object:
    ring: Ring[object] = Ring(10, lambda: None)
    ring.push(item)
    return ring


def ring_wake(item: object) -> object:
    return Ring(10, lambda: item)


def batcher_open(item: object) -> object:
    batcher: Batcher[object] = Batcher(10, 10, 10)
    batcher.add(item, 1, b"k", 0)
    return batcher


def batcher_closed(item: object) -> object:
    batcher: Batcher[object] = Batcher(1, 10, 10)
    batcher.add(item, 1, None, 0)
    return batcher


HOLDERS = [lanes_without_key, lanes_with_key, ring, ring_wake, batcher_open, batcher_closed]


@pytest.mark.parametrize("hold", HOLDERS)
def test_a_cycle_through_the_holder_is_freed(hold: Callable[[object], object]) -> None:
    node = Node()
    node.holder = hold(node)
    seen = weakref.ref(node)
    gc.collect()
    assert seen() is node
    del node
    assert seen() is not None, "nothing but the collector can free a cycle"
    gc.collect()
    assert seen() is None


def test_a_cycle_through_every_holder_at_once_is_freed() -> None:
    node = Node()
    chain: object = node
    for hold in HOLDERS:
        chain = hold(chain)
    node.holder = chain
    seen = weakref.ref(node)
    del node, chain
    gc.collect()
    assert seen() is None


@pytest.mark.parametrize("hold", HOLDERS)
def test_a_holder_that_is_reachable_keeps_its_items(hold: Callable[[object], object]) -> None:
    node = Node()
    seen = weakref.ref(node)
    holder = hold(node)
    del node
    gc.collect()
    assert seen() is not None
    assert hold is ring_wake or seen() in gc.get_referents(holder)
    del holder
    gc.collect()
    assert seen() is None


def use_lanes(item: object) -> None:
    for policy in ("block", "reject", "drop_oldest", "drop_newest"):
        lanes: Lanes[object] = Lanes(2, policy=policy)  # type: ignore[arg-type]
        for at in range(5):
            lanes.put(item, b"k" if at % 2 else None, at, 0)
        lanes.put_many([item] * 5, None, 7, 0)
        lanes.put_many((item, item), [b"k", None], b"\0\7", 0)
        lanes.drain(1, 0)
        lanes.done_many([b"k", None])
        lanes.clear()
        lanes.put(item, b"k", 0, 0)
        with pytest.raises(ValueError, match="priority"):
            lanes.put(item, None, 8, 0)
        with pytest.raises(ValueError, match="keys"):
            lanes.put_many([item], [], 0, 0)


def use_ring(item: object) -> None:
    ring: Ring[object] = Ring(2, lambda: item)
    for _ in range(4):
        ring.push(item)
    ring.drain(1)
    ring.push(item)
    ring.close()
    ring.push(item)


def use_batcher(item: object) -> None:
    batcher: Batcher[object] = Batcher(3, 100, 10)
    for at in range(10):
        batcher.add(item, 1, b"k" if at % 2 else None, at)
    batcher.take(10)
    batcher.take(10, force=True)
    with pytest.raises(ValueError, match="size"):
        batcher.add(item, -1, None, 0)


@pytest.mark.parametrize("use", [use_lanes, use_ring, use_batcher])
def test_references_are_given_back(use: Callable[[object], None]) -> None:
    item = object()
    before = sys.getrefcount(item)
    for _ in range(20):
        use(item)
    gc.collect()
    assert sys.getrefcount(item) == before


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs a system that tells the resident size")
def test_keys_that_ended_are_forgotten() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    lanes: Lanes[bytes] = Lanes(8, policy="drop_oldest")

    def turn(first: int) -> None:
        for at in range(first, first + 50_000):
            key = b"%032d" % at
            lanes.put(key, key, at & 7, at)
            if at & 1:
                lanes.done_many(lanes.drain(1, at))

    turn(0)
    before = resident()
    for first in range(50_000, 300_000, 50_000):
        turn(first)
    assert resident() - before < 4 << 20
