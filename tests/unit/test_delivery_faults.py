"""A store and a queue that fail now and then: nothing is lost, nothing takes effect twice, and no message is blamed."""

import logging
from typing import Any

import pytest
from tests.unit.scene import Elsewhere, Faulty, Scene

from catga import Batch, Catga, Command, Context, Event, Retry
from catga.clock import sleep
from catga.envelope import Codec
from catga.errors import OutcomeUnknown, StoreUnavailable
from catga.ports.transport import Sent
from catga.testing import run

WHERE = pytest.mark.parametrize("where", ["in the store", "elsewhere"])


class Work(Command, key="key"):
    key: str
    number: int


class Told(Event, key="key"):
    key: str
    number: int


class Office:
    """An app whose one handler notes what it is given."""

    def __init__(self, where: str = "in the store", batch: Batch | None = None, **options: Any) -> None:
        self.scene = Scene()
        self.store: Faulty = self.scene.store()
        self.queue: Elsewhere | None = self.scene.elsewhere() if where == "elsewhere" else None
        self.app: Catga = self.scene.app(store=self.store, transport=self.queue, retry=Retry(delayed=1), **options)
        self.done: list[tuple[int, int]] = []
        """(number, attempt)"""
        if batch is None:

            @self.app.handler(Work)
            async def work(cmd: Work, ctx: Context) -> None:
                self.done.append((cmd.number, ctx.attempt))
        else:

            @self.app.handler(Work, batch=batch)
            async def work_all(cmds: list[Work]) -> None:
                self.done.extend((cmd.number, 1) for cmd in cmds)

    async def handle(self, *numbers: int) -> dict[str, Any]:
        """All of one key, one after the other, until nothing is left in store and queue."""
        async with self.scene.running(self.app):
            await self.scene.run(self.app.enqueue_many([Work("a", number) for number in numbers]))
            await self.scene.run(self.settled())
            return self.app.statistics()

    async def settled(self) -> None:
        await self.app.settled()
        while self.queue is not None and await self.queue.kept.pending():
            await sleep(self.scene.clock, 0.1)
        await self.app.settled()

    def numbers(self) -> list[int]:
        return [number for number, _ in self.done]


@WHERE
def test_a_commit_whose_outcome_is_unknown_and_that_was_not_written_is_done_again(where: str) -> None:
    async def main() -> None:
        office = Office(where)
        office.store.faults["commit"] = [OutcomeUnknown("the line went dead")]
        statistics = await office.handle(1, 2, 3)
        # In order, the first one twice; no failure of anybody.
        assert office.numbers() in ([1, 1, 2, 3], [1, 2, 3, 1, 2, 3], [1, 2, 1, 2, 3])
        assert {attempt for _, attempt in office.done} == {1}
        assert (statistics["done"], statistics["dead"], statistics["retried"]) == (3, 0, 0)

    run(main())


@WHERE
def test_a_commit_whose_outcome_is_unknown_and_that_was_written_is_only_settled(where: str) -> None:
    async def main() -> None:
        office = Office(where)
        office.store.faults["written"] = [OutcomeUnknown("the line went dead")]
        statistics = await office.handle(1, 2, 3)
        assert office.numbers() == [1, 2, 3]
        assert (statistics["dead"], statistics["retried"]) == (0, 0)

    run(main())


@WHERE
def test_a_commit_that_cannot_be_made_now_is_made_later_and_the_handler_does_not_run_again(where: str) -> None:
    async def main() -> None:
        office = Office(where)
        office.store.faults["commit"] = [StoreUnavailable("locked")] * 3
        statistics = await office.handle(1, 2, 3)
        assert office.numbers() == [1, 2, 3]
        assert (statistics["done"], statistics["dead"], statistics["retried"]) == (3, 0, 0)

    run(main())


@WHERE
@pytest.mark.parametrize("fault", ["commit", "written"])
def test_a_batch_whose_outcome_is_unknown_is_received_again(where: str, fault: str) -> None:
    async def main() -> None:
        office = Office(where, Batch(size=3, wait=1.0))
        office.store.faults[fault] = [OutcomeUnknown("the line went dead")]
        statistics = await office.handle(1, 2, 3)
        assert office.numbers() == ([1, 2, 3] * 2 if fault == "commit" else [1, 2, 3])
        assert (statistics["dead"], statistics["retried"]) == (0, 0)

    run(main())


@WHERE
def test_a_batch_that_cannot_be_committed_now_is_committed_later(where: str) -> None:
    async def main() -> None:
        office = Office(where, Batch(size=3, wait=1.0))
        office.store.faults["commit"] = [StoreUnavailable("locked")] * 3
        statistics = await office.handle(1, 2, 3)
        assert office.numbers() == [1, 2, 3]
        assert (statistics["done"], statistics["dead"]) == (3, 0)

    run(main())


@pytest.mark.parametrize("call", ["known", "due"])
def test_what_cannot_be_read_now_is_read_later(call: str) -> None:
    async def main() -> None:
        office = Office()
        office.store.faults[call] = [StoreUnavailable("no answer")] * 3
        statistics = await office.handle(1, 2, 3)
        assert office.numbers() == [1, 2, 3]
        assert (statistics["done"], statistics["dead"]) == (3, 0)

    run(main())


@pytest.mark.parametrize("times", [1, 2, 3])
def test_what_cannot_be_buried_now_is_buried_later(times: int) -> None:
    async def main() -> None:
        office = Office()
        scene, app = office.scene, office.app
        now = scene.clock.wall_ms()
        unknown = Codec([Told], "scene", {}).encode(Told("a", 1), app.ids.next(now), now)
        sender = scene.store()
        await sender.open()
        await sender.publish([unknown])
        office.store.faults["settle"] = [StoreUnavailable("locked")] * times
        await office.handle(1, 2)
        assert office.numbers() == [1, 2]
        assert [letter.id for letter in await sender.dead(10)] == [unknown.id]
        assert await sender.pending() == 0
        await sender.close()

    run(main())


@WHERE
def test_a_duplicate_that_cannot_be_settled_now_is_settled_later(where: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        office = Office(where)
        scene, app = office.scene, office.app
        settles = office.store if office.queue is None else office.queue.kept
        async with scene.running(app):
            id = app.ids.next(scene.clock.wall_ms()).hex()
            await scene.run(app.enqueue(Work("a", 1), id=id))
            await scene.run(office.settled())
            settles.faults["settle"] = [StoreUnavailable("locked")]
            await scene.run(app.enqueue(Work("a", 1), id=id))
            await scene.run(app.enqueue(Work("a", 2)))
            await scene.clock.advance(5.0)
            assert office.numbers() == [1, 2]
            assert app.statistics()["channels"]["scene"]["open"] == 0
        # It is still there, and whoever comes next ends it.
        async with scene.running(app):
            await scene.run(office.settled())
        assert office.numbers() == [1, 2]

    with caplog.at_level(logging.WARNING, "catga.delivery"):
        run(main())
    told = ["channel scene cannot settle: [CTG-4001] locked"] if where == "in the store" else []
    assert [record.getMessage() for record in caplog.records if record.name != "asyncio"] == told


# -- the relay --------------------------------------------------------------------------------------------------------


def test_the_relay_sends_again_what_was_not_accepted(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        office = Office("elsewhere")
        assert office.queue is not None
        office.queue.answers = [
            StoreUnavailable("no answer"),
            [Sent.ACCEPTED, Sent.UNKNOWN, Sent.SKIPPED],
            [Sent.REJECTED, Sent.SKIPPED],
        ]
        statistics = await office.handle(1, 2, 3)
        assert office.numbers() == [1, 2, 3]
        assert office.queue.published == [3, 3, 2, 2]
        assert statistics["done"] == 3

    with caplog.at_level(logging.WARNING, "catga.relay"):
        run(main())
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert "refused 1 message" in caplog.text


def test_the_relay_goes_on_after_a_store_that_could_not_be_read() -> None:
    async def main() -> None:
        office = Office("elsewhere")
        office.store.faults["outbox"] = [StoreUnavailable("no answer")] * 3
        await office.handle(1, 2, 3)
        assert office.numbers() == [1, 2, 3]

    run(main())
