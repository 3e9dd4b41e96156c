"""`send` to a handler that writes: the reply comes after its commit, and the same id is the same question."""

import asyncio
from typing import Any

import pytest
from tests.unit.scene import Faulty, Scene

from catga import Catga, Command, Context, Err, Event, Ok, Result, Retry, Transaction
from catga.envelope import DAY_MS
from catga.errors import OutcomeUnknown, StoreUnavailable
from catga.testing import run

RANDOM_ID = "0" * 31 + "1"


class Take(Command[Result[int, str]]):
    number: int


class Told(Event):
    number: int


class Desk:
    """An app whose handler writes (an empty transaction, in memory) and publishes."""

    def __init__(self, retry: Retry | None = None) -> None:
        self.scene = Scene()
        self.store: Faulty = self.scene.store()
        self.app: Catga = self.scene.app(store=self.store, retry=retry or Retry(delayed=0))
        self.attempts: list[int] = []
        self.heard: list[int] = []
        self.errors: list[BaseException] = []
        self.gate: asyncio.Event | None = None

        @self.app.handler(Take, id="take")
        async def take(cmd: Take, ctx: Context, tx: Transaction) -> Result[int, str]:
            self.attempts.append(ctx.attempt)
            number = len(self.attempts)
            ctx.publish(Told(cmd.number))
            if self.gate is not None:
                await self.gate.wait()
            if self.errors:
                raise self.errors.pop(0)
            return Ok(number) if cmd.number else Err("nothing")

        @self.app.handler(Told, id="told")
        async def told(event: Told) -> None:
            self.heard.append(event.number)

    def tell(self, story: Any) -> None:
        async def main() -> None:
            async with self.scene.running(self.app):
                await story()
                await self.scene.run(self.app.settled())

        run(main())

    async def send(self, number: int, id: str | None = None) -> Any:
        return await self.scene.run(self.app.send(Take(number), id=id))


def test_the_reply_comes_after_the_commit() -> None:
    desk = Desk()

    async def story() -> None:
        desk.store.hold = held = Hold()
        asking = asyncio.ensure_future(desk.app.send(Take(1)))
        await desk.scene.clock.settle()
        assert desk.attempts == [1]
        assert not asking.done()
        held.release()
        assert await desk.scene.run(asking) == Ok(1)

    desk.tell(story)
    assert desk.heard == [1]


class Hold:
    """Keeps commits open until it is told not to."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    async def __call__(self, units: Any) -> None:
        await self.event.wait()

    def release(self) -> None:
        self.event.set()


@pytest.mark.parametrize("number", [1, 0])
def test_the_same_id_has_the_same_reply_and_one_effect(number: int) -> None:
    desk = Desk()

    async def story() -> None:
        first = await desk.send(number, RANDOM_ID)
        assert first == (Ok(1) if number else Err("nothing"))
        assert await desk.send(number, RANDOM_ID) == first
        assert await desk.send(5, RANDOM_ID) == first
        assert desk.attempts == [1]
        assert await desk.send(5, RANDOM_ID[::-1]) == Ok(2)
        assert await desk.send(5) == Ok(3)

    desk.tell(story)
    assert desk.heard == ([1] if number else []) + [5, 5]


def test_two_at_once_with_one_id_have_one_reply() -> None:
    desk = Desk()

    async def story() -> None:
        desk.gate = asyncio.Event()
        asking = [asyncio.ensure_future(desk.app.send(Take(1), id=RANDOM_ID)) for _ in range(3)]
        await desk.scene.clock.settle()
        assert len(desk.attempts) == 3
        desk.gate.set()
        replies = [await desk.scene.run(each) for each in asking]
        assert replies[0] == replies[1] == replies[2]

    desk.tell(story)
    assert desk.heard == [1]


def test_a_time_ordered_id_is_the_same_question_after_midnight() -> None:
    desk = Desk()

    async def story() -> None:
        clock = desk.scene.clock
        id = desk.app.ids.next(clock.wall_ms()).hex()
        assert await desk.send(1, id) == Ok(1)
        clock.step(36 * 3600)
        assert await desk.send(1, id) == Ok(1)
        # Another id says nothing of its day: within the day it is known.
        assert await desk.send(1, RANDOM_ID) == Ok(2)
        assert await desk.send(1, RANDOM_ID) == Ok(2)
        clock.step(36 * 3600)
        assert await desk.send(1, RANDOM_ID) == Ok(3)

    desk.tell(story)


@pytest.mark.parametrize("id", ["07", "70" * 15, "70" * 17])
def test_an_id_may_have_any_length(id: str) -> None:
    desk = Desk()

    async def story() -> None:
        assert await desk.send(1, id) == Ok(1)
        assert await desk.send(1, id) == Ok(1)
        today = desk.scene.clock.wall_ms() // DAY_MS
        assert await desk.store.mark(today, "take", bytes.fromhex(id)) is not None

    desk.tell(story)


@pytest.mark.parametrize("version", [1, 4, 6, 8])
def test_only_a_time_ordered_id_says_its_day(version: int) -> None:
    desk = Desk()

    async def story() -> None:
        id = bytearray(desk.app.ids.next(desk.scene.clock.wall_ms() - 5 * DAY_MS))
        id[6] = version << 4 | id[6] & 15
        await desk.send(1, bytes(id).hex())
        today = desk.scene.clock.wall_ms() // DAY_MS
        assert await desk.store.mark(today, "take", bytes(id)) is not None
        assert await desk.store.mark(today - 5, "take", bytes(id)) is None

    desk.tell(story)


def test_tries_in_place_and_no_others() -> None:
    desk = Desk(Retry(immediate=2, delayed=5))

    async def story() -> None:
        desk.errors = [LookupError(), LookupError()]
        assert await desk.send(1) == Ok(3)
        assert desk.attempts == [1, 2, 3]
        desk.errors = [LookupError("one"), LookupError("two"), LookupError("three")]
        with pytest.raises(LookupError, match="three"):
            await desk.send(2)
        assert desk.attempts == [1, 2, 3, 1, 2, 3]
        desk.errors = [asyncio.CancelledError()]
        with pytest.raises(asyncio.CancelledError):
            await desk.send(3)
        assert len(desk.attempts) == 7

    desk.tell(story)
    assert desk.heard == [1]


def test_what_is_not_named_is_not_tried_again() -> None:
    desk = Desk(Retry(immediate=2, on=(ConnectionError,)))

    async def story() -> None:
        desk.errors = [ConnectionError(), LookupError()]
        with pytest.raises(LookupError):
            await desk.send(1)
        assert desk.attempts == [1, 2]

    desk.tell(story)


@pytest.mark.parametrize("fault", ["commit", "written"])
def test_an_unknown_outcome_is_told_and_asking_again_finds_out(fault: str) -> None:
    desk = Desk()

    async def story() -> None:
        desk.store.faults[fault] = [OutcomeUnknown("the line went dead")]
        with pytest.raises(OutcomeUnknown):
            await desk.send(1, RANDOM_ID)
        assert await desk.send(1, RANDOM_ID) == (Ok(2) if fault == "commit" else Ok(1))

    desk.tell(story)
    assert desk.heard == [1]


def test_what_is_published_by_one_that_writes_nothing_is_committed_too() -> None:
    scene = Scene()
    store = scene.store()
    app = scene.app(store=store)
    heard: list[int] = []

    class Say(Command[int]):
        number: int

    @app.handler(Say)
    async def say(cmd: Say, ctx: Context) -> int:
        ctx.publish(Told(cmd.number))
        ctx.schedule(Told(-cmd.number), delay=5.0)
        return cmd.number

    @app.handler(Told)
    async def told(event: Told) -> None:
        heard.append(event.number)

    async def main() -> None:
        async with scene.running(app):
            assert await scene.run(app.send(Say(1))) == 1
            await scene.run(app.settled())
            assert heard == [1]
            await scene.clock.advance(5.1)
            assert heard == [1, -1]
            # A store that is full says so to whoever asked.
            store.options = type(store.options)(name=store.options.name, capacity=1)
            await scene.run(app.schedule(Told(7), delay=500.0))
            with pytest.raises(Exception, match="full"):
                await scene.run(app.send(Say(2)))

    run(main())


def test_nothing_written_is_no_commit() -> None:
    scene = Scene()
    store = scene.store()
    app = scene.app(store=store)
    commits: list[int] = []

    class Look(Command[int]):
        pass

    @app.handler(Look)
    async def look(cmd: Look, tx: Transaction) -> int:
        return 7

    async def noting(units: Any) -> None:
        commits.append(len(units))

    async def main() -> None:
        async with scene.running(app):
            store.hold = noting
            assert await scene.run(app.send(Look())) == 7
            assert commits == []
            assert await scene.run(app.send(Look(), id=RANDOM_ID)) == 7
            assert commits == [1]

    run(main())


def test_a_store_that_is_away_is_told_to_who_asks_and_to_who_publishes() -> None:
    desk = Desk()

    async def story() -> None:
        desk.store.faults["commit"] = [StoreUnavailable("away")]
        with pytest.raises(StoreUnavailable):
            await desk.send(1, RANDOM_ID)
        assert await desk.send(1, RANDOM_ID) == Ok(2)

    desk.tell(story)
