"""Batch handlers of an app without a store: lists close by size or by the age of their oldest item, one after the other,
and nothing that was accepted is forgotten when the app stops."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Self

import pytest

from catga import Batch, Catga, Event
from catga.clock import sleep
from catga.testing import VirtualClock, run
from catga.testing.clock import VirtualTimer

Seen = list[tuple[float, list[int]]]
"""When each list began, and what was in it."""


class Tick(Event, key="key"):
    number: int
    key: str = "a"


class Ticks:
    """An app with one batch handler under virtual time, and what that was given."""

    def __init__(self, batch: Batch) -> None:
        self.clock = VirtualClock()
        self.app = Catga("ticks", clock=self.clock)
        self.seen: Seen = []
        self.then: Callable[[], Awaitable[None]] | None = None
        """What the handler does after it has noted its list."""

        @self.app.handler(Tick, batch=batch)
        async def tick(events: list[Tick]) -> None:
            self.seen.append((self.clock.monotonic(), [event.number for event in events]))
            if self.then is not None:
                await self.then()

    async def __aenter__(self) -> Self:
        await self.app.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.clock.run(self.app.stop())

    async def add(self, *numbers: int, key: str = "a") -> None:
        for number in numbers:
            await self.app.publish(Tick(number, key))


def test_stopping_handles_the_list_that_is_being_filled() -> None:
    async def story() -> None:
        ticks = Ticks(Batch(size=3, wait=60))
        async with ticks:
            await ticks.add(*range(4))
        assert [number for _, numbers in ticks.seen for number in numbers] == [0, 1, 2, 3]

    run(story())


def test_a_list_closes_when_it_is_full() -> None:
    async def story() -> None:
        ticks = Ticks(Batch(size=3, wait=60))
        async with ticks:
            await ticks.add(0, 1)
            await ticks.clock.settle()
            assert ticks.seen == []
            await ticks.add(2, 3)
            await ticks.clock.settle()
            assert ticks.seen == [(0.0, [0, 1, 2])]
            # The timer of the first list is not the second one's.
            await ticks.clock.advance(30)
            await ticks.add(4)
            await ticks.clock.advance(29.9)
            assert len(ticks.seen) == 1
            await ticks.clock.advance(0.2)
            assert [numbers for _, numbers in ticks.seen] == [[0, 1, 2], [3, 4]]

    run(story())


def test_a_later_item_does_not_restart_the_age() -> None:
    async def story() -> None:
        ticks = Ticks(Batch(size=100, wait=1.0))
        async with ticks:
            for number in range(10):
                await ticks.add(number)
                await ticks.clock.advance(0.4)
            assert [numbers for _, numbers in ticks.seen] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
            assert [round(at, 1) for at, _ in ticks.seen] == [1.0, 2.2, 3.4]
            await ticks.clock.advance(2.0)
            assert ticks.seen[3:] == [(pytest.approx(4.6, abs=0.01), [9])]

    run(story())


def test_a_list_that_waits_costs_one_timer_and_no_task() -> None:
    async def story() -> None:
        ticks = Ticks(Batch(size=100, wait=5.0))
        armed: list[float] = []
        call_at = ticks.clock.call_at

        def noting(when: float, call: Callable[[], object]) -> VirtualTimer:
            armed.append(round(when, 2))
            return call_at(when, call)

        ticks.clock.call_at = noting  # type: ignore[method-assign]
        async with ticks:
            before = asyncio.all_tasks()
            for number in range(3):
                await ticks.add(number)
                await ticks.clock.advance(1.0)
            assert asyncio.all_tasks() == before
            assert armed == [5.0]
            ticks.then = lambda: ticks.app.publish(Tick(7))
            await ticks.clock.advance(2.5)
            ticks.then = None
            assert [numbers for _, numbers in ticks.seen] == [[0, 1, 2]]
            # The list that was begun meanwhile has one of its own.
            await ticks.clock.advance(4.0)
            assert armed == [5.0, 10.0]
            await ticks.clock.advance(1.0)
            assert [numbers for _, numbers in ticks.seen] == [[0, 1, 2], [7]]

    run(story())


def test_a_list_that_fills_while_another_is_handled_is_as_old_as_its_oldest_item() -> None:
    async def story() -> None:
        ticks = Ticks(Batch(size=2, wait=1.0))
        ticks.then = lambda: sleep(ticks.clock, 0.6)
        async with ticks:
            await ticks.add(0, 1)
            await ticks.clock.advance(0.1)
            await ticks.add(2)
            await ticks.clock.advance(0.9)
            assert ticks.seen == [(0.0, [0, 1])]
            await ticks.clock.advance(0.2)
            assert ticks.seen[1:] == [(pytest.approx(1.1, abs=0.01), [2])]
            # One that grows too old meanwhile follows at once.
            ticks.then = lambda: sleep(ticks.clock, 5.0)
            await ticks.clock.advance(5.0)
            await ticks.add(3, 4)
            await ticks.clock.advance(0.5)
            await ticks.add(5)
            await ticks.clock.advance(4.6)
            assert [numbers for _, numbers in ticks.seen[2:]] == [[3, 4], [5]]

    run(story())


def test_a_list_that_was_begun_behind_a_closed_one_is_timed_when_those_are_done() -> None:
    async def story() -> None:
        ticks = Ticks(Batch(size=2, wait=5.0))
        ticks.then = lambda: sleep(ticks.clock, 0.6)
        async with ticks:
            await ticks.clock.advance(7.3)
            await ticks.add(0, 1)
            await ticks.clock.advance(0.1)
            await ticks.add(2, 3, 4)
            await ticks.clock.advance(4.9)
            assert [numbers for _, numbers in ticks.seen] == [[0, 1], [2, 3]]
            await ticks.clock.advance(0.2)
            assert ticks.seen[2:] == [(pytest.approx(7.3 + 5.1, abs=0.01), [4])]

    run(story())


def test_one_list_at_a_time_and_keys_in_runs() -> None:
    async def story() -> None:
        ticks = Ticks(Batch(size=4, wait=60))
        running: list[int] = []

        async def alone() -> None:
            running.append(1)
            assert len(running) == 1
            await sleep(ticks.clock, 1.0)
            running.pop()

        ticks.then = alone
        async with ticks:
            for number in range(8):
                await ticks.add(number, key="ab"[number % 2])
            await ticks.clock.advance(1.5)
            assert [numbers for _, numbers in ticks.seen] == [[0, 2, 1, 3], [4, 6, 5, 7]]
            assert [round(at) for at, _ in ticks.seen] == [0, 1]
            await ticks.clock.advance(1.0)

    run(story())


async def raises() -> None:
    raise ValueError("no")


async def cancelled_inside() -> None:
    inner = asyncio.ensure_future(asyncio.sleep(0))
    inner.cancel()
    await inner


@pytest.mark.parametrize("fail", [raises, cancelled_inside])
def test_a_list_that_fails_is_told_and_the_next_is_handled(
    fail: Callable[[], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        ticks = Ticks(Batch(size=2, wait=60))
        ticks.then = fail
        async with ticks:
            await ticks.add(0, 1)
            await ticks.clock.settle()
            ticks.then = None
            await ticks.add(2, 3)
            await ticks.clock.settle()
            assert [numbers for _, numbers in ticks.seen] == [[0, 1], [2, 3]]

    with caplog.at_level(logging.ERROR, "catga.batches"):
        run(story())
    assert [record.name for record in caplog.records] == ["catga.batches"]
