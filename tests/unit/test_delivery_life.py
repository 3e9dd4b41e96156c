"""What a durable app does besides: schedules, stops, gives back, takes over, counts, and takes in no more than it may."""

import asyncio
from typing import Any

import pytest
from tests.unit.scene import Scene

from catga import Catga, Command, Context, Event, Retry
from catga.clock import sleep
from catga.envelope import DAY_MS, Codec
from catga.errors import AppClosed
from catga.testing import run


class Work(Command, key="key"):
    number: int
    takes: float = 0.0
    key: str | None = None


class Urgent(Command, priority=0):
    number: int


class Told(Event):
    number: int


class Shift:
    """An app that notes when it begins and ends what."""

    def __init__(self, scene: Scene | None = None, **options: Any) -> None:
        self.scene = scene or Scene()
        options.setdefault("retry", Retry(delayed=1, first=1.0))
        self.app: Catga = self.scene.app(**options)
        self.began: list[int] = []
        self.ended: list[int] = []
        self.cancelled: list[int] = []

        async def handle(cmd: Any) -> None:
            self.began.append(cmd.number)
            try:
                if getattr(cmd, "takes", 0.0):
                    await sleep(self.scene.clock, cmd.takes)
            except asyncio.CancelledError:
                self.cancelled.append(cmd.number)
                raise
            self.ended.append(cmd.number)

        self.app.handler(Work, id="work")(handle)
        self.app.handler(Urgent, id="urgent")(handle)

    async def ask(self, *commands: Any) -> None:
        await self.scene.run(self.app.enqueue_many(list(commands)))

    def tell(self, story: Any) -> None:
        async def main() -> None:
            async with self.scene.running(self.app):
                await story()

        run(main())


# -- schedules --------------------------------------------------------------------------------------------------------


def test_what_is_scheduled_comes_at_its_time_and_survives_a_restart() -> None:
    shift = Shift()

    async def main() -> None:
        scene, app = shift.scene, shift.app
        async with scene.running(app):
            await scene.run(app.schedule(Work(1), delay=5.0))
            await scene.run(app.schedule(Work(2), delay=60.0))
            await scene.run(app.schedule(Work(0), delay=0.0))
            await scene.clock.advance(4.9)
            assert shift.began == [0]
            assert await app._alive().pending() == 0
            await scene.clock.advance(0.2)
            assert shift.began == [0, 1]
        await scene.clock.advance(100.0)
        async with scene.running(app):
            await scene.clock.advance(1.1)
            assert shift.began == [0, 1, 2]

    run(main())


def test_what_is_cancelled_in_time_never_comes() -> None:
    shift = Shift()

    async def story() -> None:
        scene, app = shift.scene, shift.app
        id = await scene.run(app.schedule(Work(1), delay=5.0))
        assert await scene.run(app.cancel(id)) is True
        assert await scene.run(app.cancel(id)) is False
        late = await scene.run(app.schedule(Work(2), delay=1.0))
        await scene.clock.advance(10.0)
        assert await scene.run(app.cancel(late)) is False
        assert shift.began == [2]

    shift.tell(story)


def test_a_schedule_made_while_nothing_is_due_is_not_slept_through() -> None:
    shift = Shift()

    async def story() -> None:
        scene, app = shift.scene, shift.app
        await scene.run(app.schedule(Work(1), delay=600.0))
        await scene.clock.advance(50.5)
        await scene.run(app.schedule(Work(2), delay=0.1))
        await scene.clock.advance(0.2)
        assert shift.began == [2]

    shift.tell(story)


def test_many_that_are_due_at_once_come_in_their_order_of_time() -> None:
    shift = Shift(concurrency=1)

    async def main() -> None:
        scene, app = shift.scene, shift.app
        async with scene.running(app):
            for number in range(200, 0, -1):
                await scene.run(app.schedule(Work(number, key="a"), delay=10.0 + number))
        await scene.clock.advance(300.0)
        async with scene.running(app):
            await scene.clock.advance(1.5)

    run(main())
    assert shift.began == list(range(1, 201))


# -- in ---------------------------------------------------------------------------------------------------------------


def test_no_more_is_taken_in_than_may_be_open() -> None:
    shift = Shift(concurrency=2)

    async def story() -> None:
        for start in range(0, 3000, 500):
            await shift.ask(*(Work(number, 1.0) for number in range(start, start + 500)))
        most = 0
        for _ in range(20):
            await shift.scene.clock.advance(0.5)
            most = max(most, shift.app.statistics()["channels"]["scene"]["open"])
        assert 512 <= most <= 1024
        counts = shift.app.statistics()["channels"]["scene"]
        assert counts["queued"] == counts["open"] - 2
        await shift.scene.run(shift.app.stop(within=0.5))

    shift.tell(story)


def test_urgent_ones_pass_those_that_wait() -> None:
    shift = Shift(concurrency=1)

    async def story() -> None:
        await shift.ask(*(Work(number, 1.0) for number in range(20)))
        await shift.scene.clock.advance(0.5)
        await shift.ask(Urgent(100))
        await shift.scene.clock.advance(1.0)
        assert shift.began[:2] == [shift.began[0], 100]
        await shift.scene.run(shift.app.settled())

    shift.tell(story)
    assert sorted(shift.ended) == [*range(20), 100]


@pytest.mark.parametrize("waits", ["for work", "for a schedule", "for a retry"])
def test_who_waits_sets_few_timers(waits: str) -> None:
    shift = Shift(retry=Retry(delayed=2, first=500.0, jitter=0.0))

    @shift.app.handler(Told, id="told")
    async def told(event: Told) -> None:
        raise LookupError

    async def story() -> None:
        scene, app = shift.scene, shift.app
        if waits == "for a schedule":
            await scene.run(app.schedule(Work(1), delay=500.0))
        elif waits == "for a retry":
            await scene.run(app.publish(Told(1)))
        await scene.clock.advance(5.0)
        scene.clock.timers = 0
        await scene.clock.advance(60.0)
        # A look each second for work and for what is parked, and a renewal of the leases now and then.
        assert 100 < scene.clock.timers < 200

    shift.tell(story)


# -- stopping ---------------------------------------------------------------------------------------------------------


def test_stopping_ends_what_runs_and_gives_back_what_waits() -> None:
    scene = Scene()
    first, second = Shift(scene, concurrency=2), Shift(scene)

    async def main() -> None:
        await scene.run(first.app.start())
        await first.ask(*(Work(number, 3.0) for number in range(6)))
        await scene.clock.advance(1.0)
        await scene.run(first.app.stop(within=60.0))
        assert scene.clock.monotonic() == pytest.approx(3.0, abs=0.2)
        assert len(first.ended) == 2
        assert first.cancelled == []
        async with scene.running(second.app):
            # Given back, not left to run out: nobody waits for a lease.
            await scene.clock.advance(0.1)
            assert len(second.began) == 4
            await scene.run(second.app.settled())
            assert second.app.statistics()["redelivered"] == 0

    run(main())
    assert sorted([*first.ended, *second.ended]) == list(range(6))


def test_stopping_gives_back_what_does_not_end_in_time() -> None:
    scene = Scene()
    first, second = Shift(scene), Shift(scene)

    async def main() -> None:
        await scene.run(first.app.start())
        await first.ask(Work(1, 20.0), Work(2, 1.0))
        await scene.clock.advance(0.5)
        await scene.run(first.app.stop(within=5.0))
        assert scene.clock.monotonic() == pytest.approx(5.5, abs=0.2)
        assert (first.ended, first.cancelled) == ([2], [1])
        async with scene.running(second.app):
            await scene.clock.advance(0.1)
            assert second.began == [1]
            await scene.run(second.app.settled())
            statistics = second.app.statistics()
            assert (statistics["dead"], statistics["retried"], statistics["done"]) == (0, 0, 1)

    run(main())


def test_stopping_what_has_nothing_to_do_is_done_at_once() -> None:
    shift = Shift()

    async def main() -> None:
        scene, app = shift.scene, shift.app
        await scene.run(app.start())
        await shift.ask(Work(1))
        await scene.run(app.settled())
        before = scene.clock.monotonic()
        await scene.run(app.stop())
        assert scene.clock.monotonic() - before < 0.1
        with pytest.raises(AppClosed):
            await app.enqueue(Work(2))

    run(main())


def test_without_work_it_only_accepts() -> None:
    scene = Scene()
    sender, worker = Shift(scene), Shift(scene)

    async def main() -> None:
        await scene.run(sender.app.start(work=False))
        await sender.ask(Work(1))
        await scene.clock.advance(30.0)
        assert sender.began == []
        assert await sender.app._alive().pending() == 1
        async with scene.running(worker.app):
            await scene.run(worker.app.settled())
        await scene.run(sender.app.stop())

    run(main())
    assert worker.ended == [1]


# -- counts -----------------------------------------------------------------------------------------------------------


def test_it_counts_what_happened_and_how_late() -> None:
    shift = Shift(concurrency=1, retry=Retry(delayed=1, first=1.0, jitter=0.0))
    runs: list[int] = []

    @shift.app.handler(Told, id="told")
    async def told(event: Told, ctx: Context) -> None:
        runs.append(ctx.attempt)
        raise LookupError

    async def story() -> None:
        scene, app = shift.scene, shift.app
        statistics = app.statistics()
        assert {name: statistics[name] for name in ("done", "redelivered", "retried", "dead")} == {
            "done": 0,
            "redelivered": 0,
            "retried": 0,
            "dead": 0,
        }
        assert (statistics["latency_p50_ms"], statistics["latency_p99_ms"]) == (0, 0)
        await shift.ask(Work(1, 2.0))
        await scene.run(app.settled())
        await shift.ask(*(Work(number) for number in range(2, 5)))
        await scene.run(app.settled())
        await scene.run(app.publish(Told(1)))
        await scene.run(app.settled())
        statistics = app.statistics()
        assert (statistics["done"], statistics["retried"], statistics["dead"]) == (4, 1, 1)
        # From when it was due to the commit.
        assert statistics["latency_p50_ms"] == 0
        assert statistics["latency_p99_ms"] == pytest.approx(2000, rel=0.01)

    shift.tell(story)
    assert runs == [1, 2]


def test_settled_means_counted_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others see a commit a moment before whoever made it has gone on."""
    shift = Shift()

    async def story() -> None:
        scene, app = shift.scene, shift.app
        commit = app.store.commit

        async def slow(units: Any) -> Any:
            outcomes = await commit(units)
            await sleep(scene.clock, 1.0)
            return outcomes

        await shift.ask(Work(1))
        monkeypatch.setattr(app.store, "commit", slow)
        await shift.ask(Work(2))
        await scene.run(app.settled())
        assert app.statistics()["done"] == 2

    shift.tell(story)


def test_a_clock_that_steps_back_makes_nothing_early() -> None:
    shift = Shift()

    async def story() -> None:
        scene, app = shift.scene, shift.app
        await shift.ask(Work(1, 2.0))
        await scene.clock.advance(1.0)
        scene.clock.step(-3600)
        await scene.run(app.settled())
        statistics = app.statistics()
        assert (statistics["done"], statistics["latency_p99_ms"]) == (1, 0)

    shift.tell(story)


def test_what_comes_again_after_a_crash_is_counted() -> None:
    scene = Scene()
    first, second = Shift(scene), Shift(scene)

    async def main() -> None:
        before = await scene.start(first.app)
        await first.ask(*(Work(number, 20.0) for number in range(4)))
        await scene.clock.advance(1.0)
        assert len(first.began) == 4
        await scene.crash(before)
        async with scene.running(second.app):
            await scene.run(second.app.settled())
            assert second.app.statistics()["redelivered"] == 4
            assert second.app.statistics()["done"] == 4

    run(main())


def test_a_duplicate_is_settled_and_counted_and_its_handler_does_not_run() -> None:
    shift = Shift()

    async def story() -> None:
        scene, app = shift.scene, shift.app
        id = app.ids.next(scene.clock.wall_ms()).hex()
        for _ in range(3):
            await scene.run(app.enqueue(Work(1), id=id))
        await scene.run(app.settled())
        await scene.run(app.enqueue(Work(1), id=id))
        await scene.run(app.settled())
        statistics = app.statistics()
        assert (statistics["done"], statistics["redelivered"]) == (1, 3)
        assert statistics["channels"]["scene"] == {"open": 0, "queued": 0}

    shift.tell(story)


def test_a_copy_of_what_was_handled_on_the_day_after_it_was_due_is_known() -> None:
    scene = Scene()
    queue = scene.elsewhere()
    shift = Shift(scene, transport=queue)
    now = scene.clock.wall_ms()
    row = Codec([Work], "scene", {}).encode(Work(1), bytes(15) + b"1", now)
    assert now // DAY_MS < (now + 7_200_000) // DAY_MS

    async def story() -> None:
        scene.clock.step(7200)
        for copies in (1, 2):
            await scene.run(queue.publish([row]))
            while shift.app.statistics()["done"] + shift.app.statistics()["redelivered"] < copies:
                await scene.clock.advance(0.1)
        assert shift.ended == [1]

    async def main() -> None:
        await queue.kept.open()
        async with scene.running(shift.app):
            await story()
        await queue.kept.close()

    run(main())


def test_what_is_handled_is_marked_and_settled_in_one_commit() -> None:
    shift = Shift()
    commits: list[tuple[int, int]] = []

    async def noting(units: Any) -> None:
        commits.extend((len(unit.marks), len(unit.settle)) for unit in units if not unit.publish)

    async def story() -> None:
        await shift.scene.clock.advance(0.5)
        shift.app.store.hold = noting
        await shift.ask(*(Work(number) for number in range(5)))
        await shift.scene.run(shift.app.settled())
        assert commits == [(1, 1)] * 5

    shift.tell(story)


def test_a_short_wait_for_a_retry_sets_few_timers() -> None:
    shift = Shift(retry=Retry(delayed=2, first=0.9, jitter=0.0))
    runs: list[float] = []

    @shift.app.handler(Told, id="told")
    async def told(event: Told) -> None:
        runs.append(round(shift.scene.clock.monotonic(), 2))
        raise LookupError

    async def story() -> None:
        scene, app = shift.scene, shift.app
        await scene.clock.advance(5.05)
        await scene.run(app.publish(Told(1)))
        await scene.clock.settle()
        scene.clock.timers = 0
        await scene.clock.advance(0.85)
        assert scene.clock.timers < 10
        assert len(runs) == 1
        await scene.clock.advance(0.1)
        assert runs[1:] == [pytest.approx(runs[0] + 0.9, abs=0.02)]

    shift.tell(story)


def test_an_instance_whose_part_was_taken_over_writes_nothing() -> None:
    scene = Scene()
    first, second = Shift(scene), Shift(scene)

    async def main() -> None:
        # The first one hangs: it renews nothing, and works on.
        before = await scene.start(first.app)
        await first.ask(Work(1, 20.0, "a"), Work(2, 1.0, "a"))
        await scene.clock.advance(1.0)
        keepers = [task for task in asyncio.all_tasks() - set(before) if "leases" in task.get_name()]
        for keeper in keepers:
            keeper.cancel()
        await scene.clock.advance(12.0)
        async with scene.running(second.app):
            await scene.run(second.app.settled())
            assert second.ended == [1, 2]
            await scene.clock.advance(20.0)
        assert first.app.statistics()["done"] == 0
        await scene.run(first.app.stop(within=1.0))

    run(main())
