"""Threads feed the ring; a forked child starts afresh."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from queue import SimpleQueue

import pytest

from catga._core import Ring

PRODUCERS, EACH = 4, 5_000

pytestmark = pytest.mark.timeout(30)


def feed(ring: Ring[tuple[int, int]], producer: int) -> None:
    for item in range(EACH):
        while not ring.push((producer, item)):
            time.sleep(0)


def start(ring: Ring[tuple[int, int]]) -> list[threading.Thread]:
    threads = [threading.Thread(target=feed, args=(ring, producer)) for producer in range(PRODUCERS)]
    for thread in threads:
        thread.start()
    return threads


class Got:
    """What the consumer got: every item once, in its producer's order."""

    def __init__(self) -> None:
        self.next = [0] * PRODUCERS
        self.drains = 0

    def drain(self, ring: Ring[tuple[int, int]], most: int) -> bool:
        batch = ring.drain(most)
        self.drains += 1
        for producer, item in batch:
            assert item == self.next[producer]
            self.next[producer] += 1
        return len(batch) == most

    @property
    def complete(self) -> bool:
        return self.next == [EACH] * PRODUCERS


@pytest.mark.parametrize("capacity", [1, 7, 256])
def test_threads_feed_one_consumer(capacity: int) -> None:
    wakes: SimpleQueue[None] = SimpleQueue()
    count = 0

    def wake() -> None:
        nonlocal count
        count += 1
        wakes.put(None)

    ring: Ring[tuple[int, int]] = Ring(capacity, wake)
    threads = start(ring)
    got = Got()
    while not got.complete:
        wakes.get(timeout=10)  # a lost wake ends here
        while got.drain(ring, 64):
            pass
    for thread in threads:
        thread.join()
    assert len(ring) == 0
    assert 1 <= count <= got.drains + 1


def test_threads_feed_an_event_loop() -> None:
    async def main() -> Got:
        loop = asyncio.get_running_loop()
        got, done = Got(), asyncio.Event()

        def come() -> None:
            if got.drain(ring, 64):
                loop.call_soon(come)  # the promise of a full drain
            if got.complete:
                done.set()

        ring: Ring[tuple[int, int]] = Ring(256, lambda: loop.call_soon_threadsafe(come))
        threads = start(ring)
        await asyncio.wait_for(done.wait(), 20)
        for thread in threads:
            thread.join()
        return got

    assert asyncio.run(main()).complete


def test_close_beside_pushes_loses_nothing() -> None:
    for _ in range(20):
        ring: Ring[int] = Ring(1_000, lambda: None)
        accepted: list[int] = []

        def push(ring: Ring[int] = ring, accepted: list[int] = accepted) -> None:
            count = 0
            while ring.push(count):
                count += 1
            accepted.append(count)

        threads = [threading.Thread(target=push) for _ in range(2)]
        for thread in threads:
            thread.start()
        ring.close()
        for thread in threads:
            thread.join()
        assert ring.closed
        assert len(ring.drain(2_000)) == sum(accepted)
        assert not ring.push(0)


FORK = """
import os, signal
from catga._core import Batcher, Lanes, Ring

def use(lanes, ring, batcher):
    lanes.put("item", b"key", 0, 0)
    ring.push("item")
    batcher.add("item", 1, b"key", 0)
    assert "item" in lanes.drain(9, 0)
    lanes.done(b"key")
    assert "item" in ring.drain(9)
    assert batcher.take(0, force=True)

def fresh():
    return Lanes(9), Ring(9, int), Batcher(9, 9, 9)

old = fresh()
use(*old)
old[0].put("kept", b"key", 0, 0)
child = os.fork()
if not child:
    signal.alarm(10)
    use(*fresh())
    assert old[0].drain(9, 0) == ["kept"]
    old[0].done(b"key")
    use(*old)
    os._exit(7)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
assert len(old[0]) == 1
use(*fresh())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_use_fresh_and_inherited_objects() -> None:
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", FORK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)
    assert (done.returncode, done.stderr) == (0, "")
