"""The queue of an app without a store: bounded, ranked, one at a time per key, and nothing of it is left when it stops."""

import asyncio
import logging
from typing import Any

import pytest

from catga import Catga, Command, Event, Queue
from catga.clock import sleep
from catga.errors import NoHandler, QueueFull
from catga.testing import VirtualClock, run


class Work(Command):
    number: int
    takes: float = 1.0


class Urgent(Command, priority=0):
    number: int
    takes: float = 1.0


class Keyed(Command, key="key"):
    key: Any
    number: int
    takes: float = 1.0


class Told(Event):
    number: int


class Stage:
    """An app under virtual time that notes what it handles, and when."""

    def __init__(self, **options: Any) -> None:
        self.clock = VirtualClock()
        options.setdefault("concurrency", 1)
        self.app = Catga("queue", clock=self.clock, queue=Queue(**options))
        self.began: list[int] = []
        self.ended: list[tuple[int, float]] = []

        async def handle(cmd: Any) -> None:
            self.began.append(cmd.number)
            await sleep(self.clock, cmd.takes)
            self.ended.append((cmd.number, round(self.clock.monotonic(), 3)))

        for message in (Work, Urgent, Keyed):
            self.app.handler(message, id=message.__name__)(handle)

    def tell(self, story: Any, stop: bool = True) -> None:
        async def main() -> None:
            await self.app.start()
            try:
                await story()
            finally:
                if stop:
                    await self.clock.run(self.app.stop())

        run(main())


def test_urgent_ones_first_and_the_others_in_order() -> None:
    stage = Stage()

    async def story() -> None:
        await stage.app.enqueue_many([Work(1), Work(2), Urgent(3), Work(4), Urgent(5)])
        assert stage.app.statistics()["queued"] == 5
        await stage.clock.run(stage.app.settled())

    stage.tell(story)
    assert stage.began == [3, 5, 1, 2, 4]
    assert stage.ended == [(3, 1.0), (5, 2.0), (1, 3.0), (2, 4.0), (4, 5.0)]


def test_who_has_waited_gains_a_level_unless_it_is_strict() -> None:
    for strict, expected in ((False, [0, 2, 1]), (True, [0, 1, 2])):
        stage = Stage(aging=0.5, strict=strict)

        async def story(stage: Stage = stage) -> None:
            await stage.app.enqueue(Work(0, 3.0))
            await stage.clock.settle()
            await stage.app.enqueue(Work(2))
            await stage.clock.advance(2.5)
            await stage.app.enqueue(Urgent(1))
            await stage.clock.run(stage.app.settled())

        stage.tell(story)
        assert stage.began == expected


def test_so_many_at_once_and_one_of_a_key() -> None:
    stage = Stage(concurrency=3)

    async def story() -> None:
        for number in range(4):
            await stage.app.enqueue(Keyed("a", number))
        await stage.app.enqueue_many([Keyed("b", 10), Keyed(None, 20), Keyed(None, 21)])
        await stage.clock.settle()
        assert stage.began == [0, 10, 20]
        await stage.clock.run(stage.app.settled())

    stage.tell(story)
    assert [number for number in stage.began if number < 10] == [0, 1, 2, 3]
    assert stage.ended[-1] == (3, 4.0)


def test_when_it_is_full_it_refuses() -> None:
    stage = Stage(capacity=2, policy="reject")

    async def story() -> None:
        await stage.app.enqueue(Work(0))
        await stage.clock.settle()
        await stage.app.enqueue_many([Work(1), Work(2)])
        with pytest.raises(QueueFull, match="the queue holds 2 messages"):
            await stage.app.enqueue(Work(3))
        await stage.clock.run(stage.app.settled())
        await stage.app.enqueue(Work(4))
        await stage.clock.run(stage.app.settled())

    stage.tell(story)
    assert stage.began == [0, 1, 2, 4]


@pytest.mark.parametrize(("policy", "left"), [("drop_oldest", [0, 2, 3]), ("drop_newest", [0, 1, 2])])
def test_when_it_is_full_it_drops(policy: str, left: list[int]) -> None:
    stage = Stage(capacity=2, policy=policy)

    async def story() -> None:
        await stage.app.enqueue(Work(0))
        await stage.clock.settle()
        # Accepted all the same: dropping is what was asked for.
        await stage.app.enqueue_many([Work(1), Work(2), Work(3)])
        assert stage.app.statistics()["dropped"] == 1
        assert stage.app._alive()._local.dropped == 1
        await stage.clock.run(stage.app.settled())

    stage.tell(story)
    assert stage.began == left


def test_when_it_is_full_it_lets_wait_and_each_room_serves_one() -> None:
    stage = Stage(capacity=1)

    async def story() -> None:
        await stage.app.enqueue(Work(0))
        await stage.clock.settle()
        await stage.app.enqueue(Work(1))
        waiting = [asyncio.ensure_future(stage.app.enqueue(Work(number))) for number in (2, 3, 4)]
        await stage.clock.settle()
        assert not any(each.done() for each in waiting)
        await stage.clock.advance(1.0)
        assert [each.done() for each in waiting] == [True, False, False]
        waiting[1].cancel()
        await stage.clock.advance(1.0)
        assert [each.done() for each in waiting] == [True, True, True]
        await stage.clock.run(stage.app.settled())

    stage.tell(story)
    assert stage.began == [0, 1, 2, 4]


def test_the_room_of_one_who_gives_up_goes_to_the_next() -> None:
    stage = Stage(capacity=1)

    async def story() -> None:
        await stage.app.enqueue(Work(0))
        await stage.clock.settle()
        await stage.app.enqueue(Work(1, 100.0))
        first, second = (asyncio.ensure_future(stage.app.enqueue(Work(number))) for number in (2, 3))
        await stage.clock.settle()
        # Its room has come, and it is cancelled before it can take it.
        stage.app._alive()._local._invite()
        first.cancel()
        await stage.clock.settle()
        assert first.cancelled()
        await stage.clock.advance(1.0)
        assert second.done()
        second.result()

    stage.tell(story)


def test_a_handler_that_fails_is_told_and_its_key_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    app = Catga("queue", queue=Queue(concurrency=1))
    began: list[int] = []

    @app.handler(Keyed)
    async def handle(cmd: Keyed) -> None:
        began.append(cmd.number)
        if cmd.number == 0:
            raise LookupError
        if cmd.number == 1:
            inner = asyncio.ensure_future(asyncio.sleep(0))
            inner.cancel()
            await inner

    async def main() -> None:
        async with app:
            await app.enqueue_many([Keyed("a", number) for number in range(3)])
            await app.settled()

    with caplog.at_level(logging.ERROR, "catga.queue"):
        run(main())
    assert began == [0, 1, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "the handler of Keyed failed",
        "the handler of Keyed was cancelled by itself",
    ]


def test_stopping_ends_what_is_queued_within_its_time() -> None:
    stage = Stage()

    async def story() -> None:
        await stage.app.enqueue_many([Work(number) for number in range(3)])
        await stage.clock.run(stage.app.stop())
        assert stage.clock.monotonic() < 3.1

    stage.tell(story, stop=False)
    assert [number for number, _ in stage.ended] == [0, 1, 2]


def test_stopping_gives_up_when_its_time_is_over() -> None:
    stage = Stage()

    async def story() -> None:
        await stage.app.enqueue_many([Work(0, 1.0), Work(1, 100.0), Work(2)])
        await stage.clock.run(stage.app.stop(within=2.0))
        assert 2.0 <= stage.clock.monotonic() < 2.1

    stage.tell(story, stop=False)
    assert stage.began == [0, 1]
    assert stage.ended == [(0, 1.0)]


def test_settled_waits_for_what_runs_and_for_what_is_queued() -> None:
    stage = Stage()

    async def story() -> None:
        assert not await stage.app._alive().pending()
        await stage.app.enqueue(Work(0))
        assert await stage.app._alive().pending()
        await stage.clock.settle()
        assert stage.began == [0]
        assert await stage.app._alive().pending()
        await stage.clock.advance(1.1)
        assert not await stage.app._alive().pending()

    stage.tell(story)


def test_what_is_scheduled_comes_at_its_time_or_not_at_all() -> None:
    stage = Stage()

    async def story() -> None:
        await stage.app.schedule(Work(0), delay=5.0)
        gone = await stage.app.schedule(Work(1), delay=2.0)
        assert await stage.app.cancel(gone) is True
        assert await stage.app.cancel(gone) is False
        await stage.clock.advance(4.9)
        assert stage.began == []
        await stage.clock.advance(0.2)
        assert stage.began == [0]

    stage.tell(story)


def test_events_of_later_are_heard_from_the_queue_too() -> None:
    stage = Stage()
    heard: list[int] = []

    @stage.app.handler(Told)
    async def hear(event: Told) -> None:
        heard.append(event.number)

    async def story() -> None:
        await stage.app.schedule(Told(1), delay=1.0)
        await stage.clock.advance(1.1)
        assert heard == [1]

    stage.tell(story)


def test_what_nothing_handles_is_refused_at_once() -> None:
    class Nobody(Command):
        pass

    stage = Stage()

    async def story() -> None:
        with pytest.raises(NoHandler):
            await stage.app.enqueue(Nobody())

    stage.tell(story)
