"""Batch handlers on the durable path: lists by size, bytes and age; the item that fails is found, and no other suffers."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.unit.scene import Scene

from catga import Batch, Catga, Command, Context, Event, Retry
from catga.clock import sleep
from catga.errors import ItemsFailed
from catga.testing import run

AGAIN = Retry(delayed=2, first=1.0, factor=1.0, jitter=0.0)


class Item(Event, key="key"):
    key: str | None
    number: int
    load: bytes = b""


class Echo(Event):
    size: int


class Slow(Command):
    number: int


class Batches:
    """An app with one batch handler that notes its lists."""

    def __init__(self, batch: Batch, retry: Retry = AGAIN, scene: Scene | None = None, **options: Any) -> None:
        self.scene = scene or Scene()
        self.app: Catga = self.scene.app(retry=retry)
        self.seen: list[tuple[float, list[int]]] = []
        self.done: list[int] = []
        self.attempts: list[int] = []
        self.then: Callable[[list[Item]], Awaitable[None]] | None = None

        @self.app.handler(Item, id="batch", batch=batch, **options)
        async def handle(items: list[Item], ctx: Context) -> None:
            self.seen.append((round(self.scene.clock.monotonic(), 2), [item.number for item in items]))
            self.attempts.append(ctx.attempt)
            if self.then is not None:
                await self.then(items)
            self.done += [item.number for item in items]

    @property
    def lists(self) -> list[list[int]]:
        return [numbers for _, numbers in self.seen]

    async def add(self, *numbers: int, key: str | None = "a", load: bytes = b"") -> None:
        for number in numbers:
            await self.scene.run(self.app.publish(Item(key, number, load)))

    def tell(self, story: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            async with self.scene.running(self.app):
                await story()

        run(main())


def test_full_lists_at_once_and_the_rest_by_the_age_of_the_oldest() -> None:
    batches = Batches(Batch(size=3, wait=2.0))

    async def story() -> None:
        await batches.add(*range(4))
        await batches.scene.clock.advance(0.5)
        assert batches.lists == [[0, 1, 2]]
        await batches.add(4)
        await batches.scene.clock.advance(1.4)
        assert batches.lists == [[0, 1, 2]]
        await batches.scene.clock.advance(0.3)
        assert batches.seen[1:] == [(pytest.approx(2.0, abs=0.1), [3, 4])]
        await batches.scene.run(batches.app.settled())
        statistics = batches.app.statistics()
        assert statistics["done"] == 5
        assert statistics["channels"]["scene"] == {"open": 0, "queued": 0}

    batches.tell(story)


def test_a_list_that_waits_sets_few_timers() -> None:
    batches = Batches(Batch(size=100, wait=60.0))

    async def story() -> None:
        await batches.scene.clock.advance(12.3)
        await batches.add(1)
        await batches.scene.clock.advance(5.0)
        batches.scene.clock.timers = 0
        await batches.scene.clock.advance(50.0)
        assert batches.lists == []
        assert batches.scene.clock.timers < 200
        await batches.scene.clock.advance(5.2)
        assert batches.lists == [[1]]

    batches.tell(story)


def test_a_list_closes_by_its_bytes() -> None:
    batches = Batches(Batch(size=100, wait=60.0, bytes=3000))

    async def story() -> None:
        await batches.add(*range(4), load=bytes(900))
        await batches.scene.clock.advance(1.0)
        assert batches.lists == [[0, 1, 2]] or batches.lists == [[0, 1]]

    batches.tell(story)


def test_no_list_is_larger_than_leaves_room_for_others() -> None:
    batches = Batches(Batch(size=2048, wait=60.0))

    async def story() -> None:
        for number in range(522):
            await batches.add(number, key=f"k{number % 16}")
        await batches.scene.run(batches.app.settled(), 200.0)
        assert max(len(numbers) for numbers in batches.lists) <= 512
        assert sorted(batches.done) == list(range(522))

    batches.tell(story)


def test_an_item_of_a_list_that_is_full_elsewhere_is_not_waited_for() -> None:
    """What a part has out at once is bounded: a list that could never fill is closed."""
    batches = Batches(Batch(size=400, wait=3000.0))

    async def story() -> None:
        for number in range(300):
            await batches.scene.run(batches.app.publish(Item("one key", number)))
        await batches.scene.clock.advance(5.0)
        # 128 of a part are out at once, and the list waits for 400.
        assert sum(map(len, batches.lists)) >= 256
        assert batches.done == list(range(len(batches.done)))

    batches.tell(story)


def test_one_list_after_the_other_and_its_effects_with_its_commit() -> None:
    scene = Scene()
    batches = Batches(Batch(size=2, wait=60.0), scene=scene)
    running: list[int] = []
    echoes: list[int] = []

    @batches.app.handler(Echo)
    async def echo(event: Echo) -> None:
        echoes.append(event.size)

    async def alone(items: list[Item]) -> None:
        running.append(1)
        assert len(running) == 1
        await sleep(scene.clock, 1.0)
        running.pop()

    batches.then = alone

    async def story() -> None:
        await batches.add(*range(6))
        await scene.clock.advance(1.5)
        assert batches.lists == [[0, 1], [2, 3]]
        await scene.run(batches.app.settled())
        assert batches.lists == [[0, 1], [2, 3], [4, 5]]

    batches.tell(story)


def test_what_a_batch_handler_publishes_leaves_once() -> None:
    scene = Scene()
    app = scene.app(retry=Retry(immediate=1, delayed=0))
    echoes: list[int] = []
    runs: list[int] = []

    @app.handler(Item, batch=Batch(size=2, wait=1.0))
    async def handle(items: list[Item], ctx: Context) -> None:
        runs.append(ctx.attempt)
        ctx.publish(Echo(len(items)))
        ctx.schedule(Echo(-len(items)), delay=5.0)
        if len(runs) == 1:
            raise LookupError

    @app.handler(Echo)
    async def echo(event: Echo) -> None:
        echoes.append(event.size)

    async def main() -> None:
        async with scene.running(app):
            for number in range(2):
                await scene.run(app.publish(Item("a", number)))
            await scene.run(app.settled())
            assert echoes == [2]
            await scene.clock.advance(6.0)
            assert echoes == [2, -2]

    run(main())
    assert runs == [1, 2]


# -- failures ---------------------------------------------------------------------------------------------------------


def test_the_items_that_are_named_wait_and_the_others_go_on() -> None:
    batches = Batches(Batch(size=6, wait=0.5))

    async def some(items: list[Item]) -> None:
        bad = {n: LookupError(item.number) for n, item in enumerate(items) if item.number in (1, 4)}
        if bad and len(batches.lists) < 3:
            raise ItemsFailed(bad)

    batches.then = some

    async def story() -> None:
        for number in range(6):
            await batches.add(number, key=f"k{number}")
        await batches.scene.clock.advance(0.9)
        assert [sorted(numbers) for numbers in batches.lists] == [[0, 1, 2, 3, 4, 5], [0, 2, 3, 5]]
        await batches.scene.run(batches.app.settled())
        assert sorted(batches.done) == [0, 1, 2, 3, 4, 5]
        assert (batches.app.statistics()["retried"], batches.app.statistics()["dead"]) == (2, 0)
        # What is tried again makes lists too.
        assert [sorted(numbers) for numbers in batches.lists[2:]] == [[1, 4]]

    batches.tell(story)


def test_later_items_of_a_key_wait_behind_the_one_that_failed() -> None:
    batches = Batches(Batch(size=6, wait=0.5))
    failures = [1]

    async def first_b(items: list[Item]) -> None:
        if failures and any(item.number == 10 for item in items):
            failures.pop()
            raise ItemsFailed({n: LookupError() for n, item in enumerate(items) if item.number == 10})

    batches.then = first_b

    async def story() -> None:
        for number in range(3):
            await batches.add(number, key="a")
            await batches.add(10 + number, key="b")
        await batches.scene.clock.advance(0.9)
        assert batches.done == [0, 1, 2]
        # One more of the key, while it waits.
        await batches.add(13, key="b")
        await batches.scene.run(batches.app.settled())

    batches.tell(story)
    assert [number for number in batches.done if number >= 10] == [10, 11, 12, 13]


@pytest.mark.parametrize("guilty", range(5))
def test_one_that_is_not_named_is_found_by_halves(guilty: int) -> None:
    batches = Batches(Batch(size=5, wait=0.5), retry=Retry(delayed=0))

    async def fail(items: list[Item]) -> None:
        if any(item.number == guilty for item in items):
            raise LookupError("somewhere in there")

    batches.then = fail

    async def story() -> None:
        for number in range(5):
            await batches.add(number, key=f"k{number}")
        await batches.scene.run(batches.app.settled())
        assert batches.app.statistics()["dead"] == 1
        (letter,) = await batches.scene.dead()
        assert letter.key == b"k%d" % guilty
        assert letter.reason == "LookupError: somewhere in there"

    batches.tell(story)
    assert sorted(batches.done) == [number for number in range(5) if number != guilty]


def test_all_may_be_named() -> None:
    batches = Batches(Batch(size=3, wait=0.5), retry=Retry(delayed=0))

    async def fail(items: list[Item]) -> None:
        raise ItemsFailed({n: LookupError() for n in range(len(items))})

    batches.then = fail

    async def story() -> None:
        await batches.add(0, 1, 2, key=None)
        await batches.scene.run(batches.app.settled())
        assert batches.app.statistics()["dead"] == 3
        assert len(batches.lists) <= 3

    batches.tell(story)


def test_a_duplicate_in_a_list_is_not_handled_again_and_its_list_is() -> None:
    batches = Batches(Batch(size=4, wait=0.5))

    async def story() -> None:
        app, scene = batches.app, batches.scene
        ids = [app.ids.next(scene.clock.wall_ms()) for _ in range(3)]
        delivery = app._alive().delivery
        assert delivery is not None
        for number in (0, 1, 1, 2):
            await scene.run(delivery.accept([Item(f"k{number}", number)], ids[number]))
        await scene.run(app.settled())
        # And one that comes when all are known.
        await scene.run(delivery.accept([Item("k0", 0)], ids[0]))
        await scene.run(app.settled())
        assert app.statistics()["channels"]["scene"]["open"] == 0

    batches.tell(story)
    # The list in which it came twice was not committed, its halves were, and the second of the two was known by then.
    assert sorted(set(batches.done)) == [0, 1, 2]
    assert len(batches.lists) > 1


def test_stopping_gives_back_what_waits_for_company() -> None:
    scene = Scene()
    first = Batches(Batch(size=10, wait=1000.0), scene=scene)
    second = Batches(Batch(size=3, wait=1000.0), scene=scene)

    async def main() -> None:
        async with scene.running(first.app):
            await first.add(*range(3))
            await scene.clock.advance(1.0)
        assert first.lists == []
        assert scene.clock.monotonic() < 2.0
        async with scene.running(second.app):
            await scene.run(second.app.settled(), 5.0)

    run(main())
    assert second.done == [0, 1, 2]


def test_a_list_that_runs_when_the_app_stops_is_ended_or_given_back() -> None:
    scene = Scene()
    first, second = (Batches(Batch(size=2, wait=1000.0), scene=scene) for _ in range(2))

    async def main() -> None:
        await scene.run(first.app.start())
        first.then = lambda items: sleep(scene.clock, 5.0)
        await first.add(0, 1)
        await scene.clock.advance(1.0)
        await scene.run(first.app.stop(within=10.0))
        assert first.done == [0, 1]
        assert scene.clock.monotonic() == pytest.approx(5.0, abs=0.1)
        await scene.run(first.app.start())
        first.then = lambda items: sleep(scene.clock, 500.0)
        await first.add(2, 3)
        await scene.clock.advance(1.0)
        await scene.run(first.app.stop(within=2.0))
        async with scene.running(second.app):
            await scene.run(second.app.settled())
            assert second.app.statistics()["dead"] == 0

    run(main())
    assert second.done == [2, 3]
