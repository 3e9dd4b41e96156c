"""The relay: what commits have put into the outbox goes to a queue elsewhere, in order, by one instance a part."""

from typing import Any

import msgspec
import pytest
from tests.unit.scene import Elsewhere, Faulty, Scene

from catga import Catga, Command, Context, Event, Transaction
from catga.backends.memory import MemoryOptions
from catga.clock import sleep
from catga.testing import run


class Work(Command, key="key"):
    number: int
    key: str = "a"


class Told(Event, key="key"):
    number: int
    key: str = "a"


class Relayed:
    """Instances of an app whose queue is not their store."""

    def __init__(self, lease: float = 10.0) -> None:
        self.scene = Scene()
        self.scene.options = msgspec.structs.replace(self.scene.options, lease=lease)
        self.queue = Elsewhere(Faulty(MemoryOptions(lease=lease), self.scene.clock))
        self.done: list[int] = []

    def app(self) -> Catga:
        queue = Elsewhere(self.queue.kept)
        queue.published = self.queue.published
        app = self.scene.app(transport=queue)

        @app.handler(Work, id="work")
        async def work(cmd: Work, ctx: Context) -> None:
            self.done.append(cmd.number)

        return app

    async def settled(self, app: Catga) -> None:
        await self.scene.run(self._settled(app))

    async def _settled(self, app: Catga) -> None:
        while await app._alive().pending() or await self.queue.kept.pending():
            await sleep(self.scene.clock, 0.05)

    async def open(self) -> None:
        await self.queue.kept.open()

    async def close(self) -> None:
        await self.queue.kept.close()


def tell(relayed: Relayed, story: Any) -> None:
    async def main() -> None:
        await relayed.open()
        await story()
        await relayed.close()

    run(main())


def test_a_committed_message_need_not_wait_for_the_next_look() -> None:
    relayed = Relayed()

    async def story() -> None:
        app = relayed.app()
        async with relayed.scene.running(app):
            await relayed.scene.clock.advance(0.51)
            await relayed.scene.run(app.enqueue(Work(1)))
            await relayed.scene.clock.settle()
            assert relayed.queue.published == [1]
            assert relayed.done == [1]

    tell(relayed, story)


def test_many_leave_in_lists_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catga.delivery.relay.MOST", 20)
    relayed = Relayed()

    async def story() -> None:
        app = relayed.app()
        await relayed.scene.run(app.start(work=False))
        await relayed.scene.run(app.enqueue_many([Work(number) for number in range(43)]))
        await relayed.scene.run(app.stop())
        async with relayed.scene.running(app):
            # One list after the other, without waiting in between.
            await relayed.scene.clock.advance(0.01)
            assert relayed.queue.published == [20, 20, 3]
            await relayed.settled(app)

    tell(relayed, story)
    assert relayed.done == list(range(43))


def test_what_nobody_expected_does_not_end_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    relayed = Relayed()
    failures = [KeyError("a bug"), KeyError("again")]
    publish = relayed.queue.publish

    async def failing(self: Elsewhere, batch: Any) -> Any:
        if failures:
            raise failures.pop()
        return await publish(batch)

    async def story() -> None:
        monkeypatch.setattr(Elsewhere, "publish", failing)
        app = relayed.app()
        async with relayed.scene.running(app):
            await relayed.scene.run(app.enqueue(Work(1)))
            await relayed.settled(app)

    tell(relayed, story)
    assert relayed.done == [1]
    said = [record for record in caplog.records if record.name == "catga.relay"]
    assert len(said) == 2
    assert all(record.exc_info for record in said)


def test_instances_share_the_parts_and_none_is_published_twice() -> None:
    relayed = Relayed()

    async def story() -> None:
        first, second = relayed.app(), relayed.app()
        async with relayed.scene.running(first), relayed.scene.running(second):
            await relayed.scene.clock.advance(15.0)
            shares = [len(app._alive().delivery._relay._leases) for app in (first, second)]  # type: ignore[union-attr]
            assert shares == [8, 8]
            for number in range(64):
                await relayed.scene.run(first.enqueue(Work(number, f"k{number}")))
            await relayed.settled(first)
            assert sum(relayed.queue.published) == 64

    tell(relayed, story)
    assert sorted(relayed.done) == list(range(64))


@pytest.mark.parametrize("lease", [10.0, 2.0])
def test_who_stops_gives_its_parts_back_at_once_and_who_crashes_after_the_lease(lease: float) -> None:
    relayed = Relayed(lease)

    async def story() -> None:
        scene = relayed.scene
        for crash in (False, True):
            first, second = relayed.app(), relayed.app()
            before = await scene.start(first)
            await scene.clock.advance(0.5)
            if crash:
                await scene.crash(before)
            else:
                await scene.run(first.stop())
            async with scene.running(second):
                await scene.run(second.enqueue(Work(int(crash))))
                await scene.clock.advance(0.1)
                assert relayed.done == list(range(crash + 1))

    tell(relayed, story)


def test_a_relay_that_lost_a_part_notices_and_renews() -> None:
    relayed = Relayed()

    async def story() -> None:
        scene, app = relayed.scene, relayed.app()
        async with scene.running(app):
            await scene.clock.advance(0.5)
            relay = app._alive().delivery._relay  # type: ignore[union-attr]
            assert relay is not None
            # Somebody else takes all parts, as after a long pause of this one, and gives them back.
            leases = app.store.data.leases
            held = list(relay._leases)
            leases.release("@relay", relay._owner, held, leave=False)
            taken = leases.claim("@relay", "other", 16, 0.1, scene.clock.monotonic())
            await scene.run(app.enqueue_many([Work(number, f"k{number}") for number in range(20)]))
            await scene.clock.advance(1.0)
            leases.release("@relay", "other", taken.leases, leave=True)
            await scene.clock.advance(5.0)
            await relayed.settled(app)
            # Published again by who holds the part, known by its id, and done once.
            assert sum(relayed.queue.published) >= 20

    tell(relayed, story)
    assert sorted(relayed.done) == list(range(20))


def test_what_a_handler_publishes_says_what_caused_it() -> None:
    scene = Scene()
    app = scene.app()
    causes: list[tuple[str, dict[str, str]]] = []
    ids: list[str] = []

    @app.handler(Work, id="work")
    async def work(cmd: Work, ctx: Context) -> None:
        ids.append(ctx.id)
        causes.append(("work", ctx.headers))
        ctx.publish(Told(1))
        ctx.schedule(Told(2), delay=1.0)

    @app.handler(Told, id="told")
    async def told(event: Told, ctx: Context, tx: Transaction) -> None:
        causes.append((f"told {event.number}", ctx.headers))

    async def main() -> None:
        async with scene.running(app):
            await scene.run(app.enqueue(Work(1)))
            await scene.clock.advance(3.0)

    run(main())
    cause = {"cause": ids[0]}
    assert causes == [("work", {}), ("told 1", cause), ("told 2", cause)]


def test_a_queue_elsewhere_is_settled_after_the_commit() -> None:
    relayed = Relayed()
    pending: list[int] = []

    async def story() -> None:
        scene, app = relayed.scene, relayed.app()
        store = app.store

        async def look(units: Any) -> None:
            if any(unit.marks for unit in units):
                pending.append(await relayed.queue.kept.pending())

        async with scene.running(app):
            await scene.clock.advance(0.5)
            store.hold = look
            await scene.run(app.enqueue(Work(1)))
            await relayed.settled(app)
            store.hold = None

    tell(relayed, story)
    assert pending == [1]
