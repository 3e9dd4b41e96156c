"""What a failed handler's message goes through: tries in place, tries after growing waits, a dead letter with its history."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from tests.unit.scene import Scene

from catga import Catga, Command, Context, Event, Retry
from catga.delivery.failures import history_of
from catga.envelope import DAY_MS, Codec
from catga.errors import Conflict
from catga.ports import Unit
from catga.ports.store import ParkedState
from catga.testing import run


class Work(Command, key="key"):
    number: int
    key: str | None = None


class Told(Event):
    number: int


class Half:
    """Chance that always falls in the middle."""

    def random(self) -> float:
        return 0.5

    def getrandbits(self, k: int, /) -> int:
        return 7


class Failing:
    """An app whose handler fails until it is told not to, and when it ran."""

    def __init__(self, retry: Retry | None = None, own: Retry | None = None, **options: Any) -> None:
        self.scene = Scene()
        if retry is not None:
            options["retry"] = retry
        self.app: Catga = self.scene.app(**options)
        self.runs: list[tuple[int, float]] = []
        """(attempt, when)"""
        self.errors: list[BaseException] = []

        @self.app.handler(Work, id="work", retry=own)
        async def work(cmd: Work, ctx: Context) -> None:
            self.runs.append((ctx.attempt, round(self.scene.clock.monotonic(), 2)))
            if self.errors:
                raise self.errors.pop(0)

    def handle(self, *commands: Work) -> dict[str, Any]:
        async def main() -> dict[str, Any]:
            async with self.scene.running(self.app):
                await self.scene.run(self.app.enqueue_many(commands or [Work(1)]))
                await self.scene.run(self.app.settled(), 1e6)
                return {**self.app.statistics(), "letters": await self.scene.dead()}

        return run(main())


def test_waits_grow_by_the_factor_to_the_most() -> None:
    failing = Failing(Retry(delayed=5, first=1.0, factor=3.0, most=20.0, jitter=0.0))
    failing.errors = [LookupError() for _ in range(5)]
    statistics = failing.handle()
    times = [when for _, when in failing.runs]
    assert [round(later - earlier) for earlier, later in pairwise(times)] == [1, 3, 9, 20, 20]
    assert [attempt for attempt, _ in failing.runs] == [1, 2, 3, 4, 5, 6]
    assert (statistics["retried"], statistics["dead"], statistics["done"]) == (5, 0, 1)


def test_jitter_takes_something_off() -> None:
    failing = Failing(Retry(delayed=2, first=10.0, jitter=0.5), entropy=Half())
    failing.errors = [LookupError(), LookupError()]
    failing.handle()
    assert [when for _, when in failing.runs] == [0.0, pytest.approx(7.5, abs=0.02), pytest.approx(22.5, abs=0.03)]


@pytest.mark.parametrize(("failures", "chance", "expected"), [(1, 0.0, 2.0), (2, 0.5, 6.0), (3, 0.999, 9.0)])
def test_the_wait_by_itself(failures: int, chance: float, expected: float) -> None:
    retry = Retry(first=2.0, factor=4.0, most=18.0, jitter=0.5)
    assert retry.wait(failures, chance) == pytest.approx(expected, abs=0.02)


def test_what_a_handler_says_of_itself_goes_before_the_app() -> None:
    failing = Failing(Retry(delayed=9), own=Retry(delayed=1, first=0.5, jitter=0.0))
    failing.errors = [LookupError("first"), LookupError("second")]
    statistics = failing.handle()
    assert [attempt for attempt, _ in failing.runs] == [1, 2]
    (letter,) = statistics["letters"]
    assert letter.failures == 2
    assert letter.reason == "LookupError: second"
    assert (letter.state, letter.due_ms) == (ParkedState.DEAD, 0)


def test_tries_in_place_leave_no_trace_of_what_failed() -> None:
    scene = Scene()
    app = scene.app(retry=Retry(immediate=2, delayed=1, first=5.0, jitter=0.0))
    attempts: list[tuple[int, float]] = []
    heard: list[int] = []

    @app.handler(Work)
    async def work(cmd: Work, ctx: Context) -> None:
        attempts.append((ctx.attempt, round(scene.clock.monotonic(), 2)))
        ctx.publish(Told(ctx.attempt))
        if len(attempts) < 5:
            raise LookupError

    @app.handler(Told)
    async def told(event: Told) -> None:
        heard.append(event.number)

    async def main() -> None:
        async with scene.running(app):
            await scene.run(app.enqueue(Work(1)))
            await scene.run(app.settled())
            assert app.statistics()["retried"] == 1

    run(main())
    assert [attempt for attempt, _ in attempts] == [1, 2, 3, 2, 3]
    assert [round(when) for _, when in attempts] == [0, 0, 0, 5, 5]
    assert heard == [3]


def test_only_what_is_named_is_tried_again() -> None:
    failing = Failing(Retry(immediate=1, delayed=3, first=1.0, on=(ConnectionError,)))
    failing.errors = [ConnectionRefusedError("try again"), LookupError("this is the end")]
    statistics = failing.handle()
    assert [attempt for attempt, _ in failing.runs] == [1, 2]
    (letter,) = statistics["letters"]
    assert letter.failures == 1
    assert letter.reason == "LookupError: this is the end"


def test_the_first_failure_and_the_last_ones_are_remembered() -> None:
    failing = Failing(Retry(delayed=14, first=1.0, factor=1.0, jitter=0.0))
    failing.errors = [LookupError(str(number)) for number in range(15)]
    statistics = failing.handle()
    (letter,) = statistics["letters"]
    history = history_of(letter)
    assert [failure.what for failure in history] == ["0", *map(str, range(6, 15))]
    assert [failure.attempt for failure in history] == [1, *range(7, 16)]
    assert {failure.type for failure in history} == {"LookupError"}
    assert history[0].at_ms < history[1].at_ms
    assert "raise self.errors.pop(0)" in history[-1].trace
    assert history_of(msgspec.structs.replace(letter, history=b"")) == []


def test_as_many_as_are_remembered_are_all_there() -> None:
    failing = Failing(Retry(delayed=9, first=1.0, factor=1.0, jitter=0.0))
    failing.errors = [LookupError(str(number)) for number in range(10)]
    (letter,) = failing.handle()["letters"]
    assert [failure.what for failure in history_of(letter)] == list(map(str, range(10)))


class Coded(Exception):
    code = "E77"


class Local(Exception):
    pass


def test_the_reason_says_what_people_look_for() -> None:
    failing = Failing(Retry(delayed=0))
    failing.errors = [Coded("with a code"), Local("of ours"), Conflict("of Catga"), ValueError("plain")]
    letters = failing.handle(*(Work(number, "one") for number in range(4)))["letters"]
    reasons = [letter.reason for letter in reversed(letters)]
    assert reasons[0] == "E77 with a code"
    assert reasons[1] == f"{__name__}.Local: of ours"
    assert reasons[2] == "catga.errors.Conflict: [CTG-4007] of Catga"
    assert reasons[3] == "ValueError: plain"


def test_a_passed_deadline_is_not_handled_and_not_tried_again() -> None:
    failing = Failing(Retry(delayed=5))

    async def main() -> None:
        scene, app = failing.scene, failing.app
        async with scene.running(app):
            delivery = app._alive().delivery
            assert delivery is not None
            now = scene.clock.wall_ms()
            for number, deadline in ((1, now - 1), (2, now + 60_000), (3, now)):
                id = app.ids.next(now)
                row = delivery._codec.encode(Work(number), id, now, 0, deadline)
                await scene.run(delivery.committer.submit([Unit(publish=[row])]))
            await scene.run(app.settled())
            assert len(failing.runs) == 2
        (letter,) = await scene.dead()
        assert letter.reason.startswith("catga.errors.DeadlineExceeded: ")
        assert letter.failures == 1

    run(main())


def test_what_is_too_old_to_be_known_is_not_handled() -> None:
    failing = Failing(window_days=3)

    async def main() -> None:
        scene, app = failing.scene, failing.app
        store = scene.store()
        await store.open()
        now = scene.clock.wall_ms()
        codec = Codec([Work], "scene", {})
        today = now // DAY_MS * DAY_MS
        ages = {1: today - 3 * DAY_MS - 1, 2: today - 3 * DAY_MS, 3: now}
        rows = [codec.encode(Work(number), app.ids.next(now), made, made) for number, made in ages.items()]
        await store.publish(rows)
        async with scene.running(app):
            await scene.run(app.settled())
            assert len(failing.runs) == 2
        (letter,) = await store.dead(10)
        await store.close()
        assert letter.id == rows[0].id
        assert "OutsideWindow" in letter.reason

    run(main())


def test_bytes_that_nobody_can_read_are_buried_and_hold_up_nobody() -> None:
    failing = Failing()

    async def main() -> None:
        scene, app = failing.scene, failing.app
        store = scene.store()
        await store.open()
        now = scene.clock.wall_ms()
        good = Codec([Work], "scene", {}).encode(Work(1), app.ids.next(now), now)
        unknown = Codec([Told], "scene", {}).encode(Told(1), app.ids.next(now), now)
        broken = msgspec.structs.replace(
            good, id=b"b" * 16, frame=good.frame[:8] + b"b" * 16 + good.frame[24:-1] + b"?"
        )
        short = msgspec.structs.replace(good, id=b"s" * 16, frame=b"short")
        await store.publish([unknown, broken, short, good])
        async with scene.running(app):
            await scene.run(app.settled())
            assert app.statistics()["channels"]["scene"] == {"open": 0, "queued": 0}
        letters = {letter.id: letter for letter in await store.dead(10)}
        await store.close()
        assert letters.keys() == {unknown.id, broken.id, b"short"}
        assert {letter.handler for letter in letters.values()} == {""}
        assert {(letter.due_ms, letter.claims, letter.failures) for letter in letters.values()} == {(0, 0, 0)}
        assert letters[unknown.id].reason.startswith("[CTG-3010]")
        assert letters[broken.id].reason.startswith("CTG-3005 ")
        assert letters[broken.id].frame == broken.frame
        assert letters[b"short"].reason.startswith("CTG-3002 ")
        assert len(failing.runs) == 1

    run(main())


def test_what_was_scheduled_and_cannot_be_read_any_more_ends_as_a_dead_letter() -> None:
    failing = Failing()

    async def main() -> None:
        scene, app = failing.scene, failing.app
        async with scene.running(scene.app(messages=(Told,))) as other:
            await scene.run(other.schedule(Told(1), delay=5.0))
        async with scene.running(app):
            await scene.clock.advance(10.0)
            await scene.run(app.settled())
        (letter,) = await scene.dead()
        assert letter.reason.startswith("[CTG-3010]")

    run(main())


# -- groups and rests -------------------------------------------------------------------------------------------------


def test_one_handlers_failure_repeats_nothing_for_the_others() -> None:
    scene = Scene()
    app = scene.app(retry=Retry(delayed=1, first=1.0))
    runs: list[str] = []

    @app.handler(Told, id="good")
    async def good(event: Told) -> None:
        runs.append("good")

    @app.handler(Told, id="bad")
    async def bad(event: Told) -> None:
        runs.append("bad")
        raise LookupError

    async def main() -> None:
        async with scene.running(app):
            await scene.run(app.publish(Told(1)))
            await scene.run(app.settled())
            statistics = app.statistics()
        assert (statistics["done"], statistics["retried"], statistics["dead"]) == (1, 1, 1)
        (letter,) = await scene.dead()
        assert letter.handler == "bad"

    run(main())
    assert sorted(runs) == ["bad", "bad", "good"]


def test_what_belongs_to_a_handler_that_is_gone_waits_for_it() -> None:
    scene = Scene()
    failing = scene.app(retry=Retry(delayed=3, first=1.0))
    runs: list[int] = []

    @failing.handler(Work, id="work")
    async def work(cmd: Work) -> None:
        raise LookupError

    other = scene.app()

    @other.handler(Told, id="told")
    async def told(event: Told) -> None: ...

    again = scene.app()

    @again.handler(Work, id="work")
    async def work_again(cmd: Work, ctx: Context) -> None:
        runs.append(ctx.attempt)

    async def main() -> None:
        async with scene.running(failing):
            await scene.run(failing.enqueue(Work(1)))
            await scene.clock.advance(0.2)
        async with scene.running(other):
            await scene.clock.advance(30.0)
            assert await other._alive().pending() == 1
        async with scene.running(again):
            await scene.run(again.settled())

    run(main())
    assert runs == [2]


def deep(depth: int) -> None:
    if not depth:
        raise LookupError("innermost")
    deeper(depth - 1)


def deeper(depth: int) -> None:
    deep(depth)


def test_of_a_long_trace_the_end_is_kept() -> None:
    failing = Failing(Retry(delayed=0))
    try:
        deep(30)
    except LookupError as error:
        failing.errors = [error]
    (letter,) = failing.handle()["letters"]
    (failure,) = history_of(letter)
    assert failure.trace.count("  File ") == 8
    assert failure.trace.endswith("LookupError: innermost\n")


def test_a_trace_of_many_words_is_cut_at_its_beginning() -> None:
    failing = Failing(Retry(delayed=0))
    failing.errors = [LookupError("\n".join(str(number) for number in range(3000)))]
    (letter,) = failing.handle()["letters"]
    (failure,) = history_of(letter)
    assert len(failure.trace) == 4000
    assert failure.trace.endswith("\n2999\n")


def test_an_exception_group_and_what_it_holds_are_told() -> None:
    failing = Failing(Retry(delayed=0))
    failing.errors = [ExceptionGroup("several", [ValueError("one"), LookupError("two")])]
    (letter,) = failing.handle()["letters"]
    assert letter.reason.startswith("ExceptionGroup: several")
    (failure,) = history_of(letter)
    assert "LookupError: two" in failure.trace
    assert len(failure.trace) <= 4000
