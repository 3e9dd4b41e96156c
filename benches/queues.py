"""Queues of one loop: batches and priorities, beside what asyncio has and a plain deque, which we do not beat."""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from benches.runner import Group, Row, fixed
from catga._core import Lanes

COUNT = 12_800
BATCH = 64
DEPTH = 1_000
NOW = 0

ITEMS = [object() for _ in range(BATCH)]
ITEM = ITEMS[0]


def put_and_drain(lanes: Lanes[object], priorities: bytes | int) -> Callable[[int], None]:
    """A batch in, a batch out."""

    def timed(count: int) -> None:
        put_many, drain = lanes.put_many, lanes.drain
        for _ in range(count // BATCH):
            put_many(ITEMS, None, priorities, NOW)
            drain(BATCH, NOW)

    return timed


def one_by_one(lanes: Lanes[object], priorities: Sequence[int]) -> Callable[[int], None]:
    """Without batches."""

    def timed(count: int) -> None:
        put, drain = lanes.put, lanes.drain
        for _ in range(count // BATCH):
            for priority in priorities:
                put(ITEM, None, priority, NOW)
                drain(1, NOW)

    return timed


def nowait(queue: asyncio.Queue[object]) -> Callable[[int], None]:
    """asyncio.Queue at its cheapest."""

    def timed(count: int) -> None:
        put, get = queue.put_nowait, queue.get_nowait
        for _ in range(count):
            put(ITEM)
            get()

    return timed


def awaited(queue: asyncio.Queue[object]) -> Callable[[int], Awaitable[None]]:
    """As people use it."""

    async def timed(count: int) -> None:
        put, get = queue.put, queue.get
        for _ in range(count):
            await put(ITEM)
            await get()

    return timed


def appended(queue: deque[object]) -> Callable[[int], None]:
    """A deque: no bound, no priority, no count, nobody waits."""

    def timed(count: int) -> None:
        append, popleft = queue.append, queue.popleft
        for _ in range(count):
            append(ITEM)
            popleft()

    return timed


def extended(queue: deque[object]) -> Callable[[int], None]:
    """The same in batches."""

    def timed(count: int) -> None:
        for _ in range(count // BATCH):
            queue.extend(ITEMS)
            list(queue)
            queue.clear()

    return timed


def ranked(queue: asyncio.PriorityQueue[tuple[int, int, object]]) -> Callable[[int], None]:
    """(priority, number, item), as the docs advise, so that equals keep their order."""

    def timed(count: int) -> None:
        put, get, number = queue.put_nowait, queue.get_nowait, DEPTH
        for _ in range(count // BATCH):
            for priority in PRIORITIES:
                number += 1
                put((priority, number, ITEM))
                get()

    return timed


def ranked_awaited(queue: asyncio.PriorityQueue[tuple[int, int, object]]) -> Callable[[int], Awaitable[None]]:
    """The same as people use it."""

    async def timed(count: int) -> None:
        put, get, number = queue.put, queue.get, DEPTH
        for _ in range(count // BATCH):
            for priority in PRIORITIES:
                number += 1
                await put((priority, number, ITEM))
                await get()

    return timed


def heaped(heap: list[tuple[int, int, object]]) -> Callable[[int], None]:
    """heapq alone."""

    def timed(count: int) -> None:
        number = DEPTH
        for _ in range(count // BATCH):
            for priority in PRIORITIES:
                number += 1
                heapq.heappush(heap, (priority, number, ITEM))
                heapq.heappop(heap)

    return timed


PRIORITIES = bytes(random.Random(1).choices(range(8), k=BATCH))
QUEUED = [(random.Random(number).randrange(8), number, ITEM) for number in range(DEPTH)]


def batch_rows() -> list[Row]:
    """Nothing queued but the batch itself."""
    return [
        Row("catga Lanes, 64 at a time", put_and_drain(Lanes(1024), 4), COUNT),
        Row("catga Lanes, one by one", one_by_one(Lanes(1024), [4] * BATCH), COUNT),
        Row("asyncio.Queue, nowait", nowait(asyncio.Queue(1024)), COUNT),
        Row("asyncio.Queue, awaited", awaited(asyncio.Queue(1024)), COUNT),
        Row("deque, one by one", appended(deque()), COUNT),
        Row("deque, 64 at a time", extended(deque()), COUNT),
    ]


def priority_rows() -> list[Row]:
    """A thousand queued, at all eight levels."""
    many, single = Lanes[object](DEPTH + BATCH), Lanes[object](DEPTH + BATCH)
    plain: asyncio.PriorityQueue[tuple[int, int, object]] = asyncio.PriorityQueue()
    waited: asyncio.PriorityQueue[tuple[int, int, object]] = asyncio.PriorityQueue()
    for entry in QUEUED:
        many.put(ITEM, None, entry[0], NOW)
        single.put(ITEM, None, entry[0], NOW)
        plain.put_nowait(entry)
        waited.put_nowait(entry)
    return [
        Row("catga Lanes, 64 at a time", put_and_drain(many, PRIORITIES), COUNT),
        Row("catga Lanes, one by one", one_by_one(single, PRIORITIES), COUNT),
        Row("asyncio.PriorityQueue, nowait", ranked(plain), COUNT),
        Row("asyncio.PriorityQueue, awaited", ranked_awaited(waited), COUNT),
        Row("heapq", heaped(sorted(QUEUED)), COUNT),
    ]


GROUPS = [
    Group("queue, put and get", fixed(batch_rows)),
    Group("queue, priorities at depth 1,000", fixed(priority_rows)),
]
