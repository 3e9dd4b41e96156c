"""Messages of a key stay in order, whatever fails, retries, waits, crashes or is taken over."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Literal

import pytest
from tests.unit.scene import Faulty, Scene

from catga import Catga, Command, Context, Event, Retry, Transaction
from catga.clock import sleep
from catga.deadletters import DeadLetters
from catga.errors import Conflict, OutcomeUnknown
from catga.ports.store import COMMITTED, Commit, Outcome, ParkedState, Unit
from catga.queues import Restarted
from catga.testing import run

ONCE = Retry(delayed=3, first=1.0, factor=1.0, jitter=0.0)


class Step(Command, key="key"):
    key: str | None
    number: int


class Other(Command, key="key"):
    key: str
    number: int


class Told(Event, key="key"):
    key: str
    number: int


class Walk:
    """An app that notes in which order it handles steps; `fails` counts down the failures of a step."""

    def __init__(self, scene: Scene | None = None, **options: Any) -> None:
        self.scene = scene or Scene()
        self.app: Catga = self.scene.app(retry=options.pop("retry", ONCE), concurrency=options.pop("concurrency", 16))
        self.fails: dict[tuple[str | None, int], int] = {}
        self.done: list[tuple[str | None, int]] = []
        self.runs: list[tuple[str | None, int]] = []
        self.takes = 0.0

        @self.app.handler(Step, id="step", **options)
        async def step(cmd: Step) -> None:
            place = (cmd.key, cmd.number)
            self.runs.append(place)
            if self.takes:
                await sleep(self.scene.clock, self.takes)
            if self.fails.get(place, 0) > 0:
                self.fails[place] -= 1
                raise LookupError(place)
            self.done.append(place)

    def numbers(self, key: str | None) -> list[int]:
        return [number for found, number in self.done if found == key]

    async def ask(self, key: str | None, *numbers: int) -> None:
        await self.scene.run(self.app.enqueue_many([Step(key, number) for number in numbers]))


def test_later_ones_wait_for_the_retry_and_other_keys_do_not() -> None:
    walk = Walk()

    async def main() -> None:
        async with walk.scene.running(walk.app):
            walk.fails = {("a", 1): 2}
            await walk.ask("a", 0, 1, 2, 3)
            await walk.ask("b", 0, 1)
            await walk.ask(None, 0, 1)
            await walk.scene.clock.advance(0.5)
            assert (walk.numbers("a"), walk.numbers("b"), sorted(walk.numbers(None))) == ([0], [0, 1], [0, 1])
            # What comes while they wait goes behind them.
            await walk.ask("a", 4, 5)
            await walk.scene.clock.advance(1.0)
            assert walk.numbers("a") == [0]
            await walk.scene.run(walk.app.settled())
            assert walk.scene.clock.monotonic() < 3.0
            statistics = walk.app.statistics()
            assert (statistics["done"], statistics["dead"]) == (10, 0)

    run(main())
    assert walk.numbers("a") == [0, 1, 2, 3, 4, 5]
    assert [number for key, number in walk.runs if key == "a"] == [0, 1, 1, 1, 2, 3, 4, 5]


def test_followers_that_fail_again_hold_up_those_behind_them() -> None:
    walk = Walk()

    async def main() -> None:
        async with walk.scene.running(walk.app):
            walk.fails = {("a", number): 1 for number in range(0, 10, 2)}
            await walk.ask("a", *range(10))
            await walk.scene.run(walk.app.settled())

    run(main())
    assert walk.numbers("a") == list(range(10))


def test_more_followers_than_are_taken_at_once() -> None:
    walk = Walk()

    async def main() -> None:
        async with walk.scene.running(walk.app):
            walk.fails = {("a", 0): 1, ("a", 70): 1}
            await walk.ask("a", *range(200))
            await walk.scene.run(walk.app.settled())

    run(main())
    assert walk.numbers("a") == list(range(200))
    assert walk.scene.clock.monotonic() < 4.0


@pytest.mark.parametrize("when_dead", ["skip", "block"])
def test_what_comes_after_a_dead_letter(when_dead: Literal["skip", "block"]) -> None:
    walk = Walk(retry=Retry(delayed=1, first=1.0, jitter=0.0), when_dead=when_dead)

    async def main() -> None:
        async with walk.scene.running(walk.app):
            walk.fails = {("a", 1): 2}
            await walk.ask("a", 0, 1, 2, 3)
            await walk.ask("b", 0)
            await walk.scene.clock.advance(10.0)
            await walk.ask("a", 4)
            await walk.scene.clock.advance(10.0)
            assert walk.numbers("a") == ([0, 2, 3, 4] if when_dead == "skip" else [0])
            # What waits behind a dead letter waits for somebody to look at it: there is nothing left to do here.
            assert await walk.app._alive().pending() == 0
            assert walk.numbers("b") == [0]
            (letter,) = await walk.scene.dead()
            assert (letter.state, letter.due_ms) == (ParkedState.DEAD, 0 if when_dead == "skip" else -1)

    run(main())


def test_a_blocking_dead_letter_that_is_replayed_lets_the_others_go_on() -> None:
    walk = Walk(retry=Retry(delayed=0), when_dead="block")

    async def main() -> None:
        async with walk.scene.running(walk.app):
            walk.fails = {("a", 1): 1}
            await walk.ask("a", *range(4))
            await walk.scene.clock.advance(5.0)
            assert walk.numbers("a") == [0]
        letters = DeadLetters(walk.app.store, walk.scene.clock)
        await walk.app.store.open()
        assert await letters.replay(await letters.newest()) == 1
        await walk.app.store.close()
        async with walk.scene.running(walk.app):
            await walk.scene.run(walk.app.settled())

    run(main())
    assert walk.numbers("a") == [0, 1, 2, 3]


def test_whoever_takes_a_part_over_knows_what_waits_in_it() -> None:
    scene = Scene()
    first, second = Walk(scene), Walk(scene)

    async def main() -> None:
        first.fails = {("a", 0): 9, ("b", 0): 1}
        before = await scene.start(first.app)
        await first.ask("a", 0, 1, 2)
        await first.ask("b", 0, 1)
        await scene.clock.advance(0.5)
        assert first.done == []
        await scene.crash(before)
        second.fails = {("a", 0): 1}
        async with scene.running(second.app):
            await second.ask("a", 3)
            await second.ask("b", 2)
            await scene.run(second.app.settled())

    run(main())
    assert second.numbers("a") == [0, 1, 2, 3]
    assert second.numbers("b") == [0, 1, 2]


def test_a_part_that_comes_back_is_looked_at_anew() -> None:
    scene = Scene()
    first, second = Walk(scene), Walk(scene)

    async def main() -> None:
        async with scene.running(first.app):
            first.fails = {("a", 0): 1, **{(f"k{n}", 0): 1 for n in range(40)}}
            for key in ["a", *(f"k{n}" for n in range(40))]:
                await first.ask(key, 0, 1)
            # Half of the parts go to the second one while their keys wait, and come back later.
            async with scene.running(second.app):
                await scene.clock.advance(8.0)
                for key in ["a", *(f"k{n}" for n in range(40))]:
                    await first.ask(key, 2)
                await scene.clock.advance(8.0)
                assert second.done
            for key in ["a", *(f"k{n}" for n in range(40))]:
                await first.ask(key, 3)
            await scene.run(first.app.settled())

    run(main())
    done: dict[str | None, list[int]] = {}
    for key, number in [*first.done, *second.done]:
        done.setdefault(key, []).append(number)
    assert {tuple(sorted(numbers)) for numbers in done.values()} == {(0, 1, 2, 3)}


def test_a_waiting_key_of_one_handler_holds_up_no_other_handler() -> None:
    scene = Scene()
    app = scene.app(retry=ONCE)
    heard: dict[str, list[int]] = {"bad": [], "good": []}

    @app.handler(Told, id="bad")
    async def bad(event: Told, ctx: Context) -> None:
        if event.number == 0 and ctx.attempt < 3:
            raise LookupError
        heard["bad"].append(event.number)

    @app.handler(Told, id="good")
    async def good(event: Told) -> None:
        heard["good"].append(event.number)

    async def main() -> None:
        async with scene.running(app):
            for number in range(3):
                await scene.run(app.publish(Told("a", number)))
            await scene.clock.advance(0.5)
            assert heard == {"bad": [], "good": [0, 1, 2]}
            await scene.run(app.settled())
            # Its messages are settled once both have ended, and known to both.
            assert app.statistics()["channels"]["scene"] == {"open": 0, "queued": 0}

    run(main())
    assert heard == {"bad": [0, 1, 2], "good": [0, 1, 2]}


def test_types_of_one_channel_share_their_order_and_one_key_runs_one_at_a_time() -> None:
    scene = Scene()
    app = scene.app(retry=ONCE)
    done: list[int] = []
    running: set[str] = set()

    @app.handler(Step, id="step")
    async def step(cmd: Step) -> None:
        assert "step" not in running
        running.add("step")
        await sleep(scene.clock, 1.0)
        running.remove("step")
        done.append(cmd.number)

    async def main() -> None:
        async with scene.running(app):
            await scene.run(app.enqueue_many([Step("a", number) for number in range(5)]))
            await scene.run(app.settled())

    run(main())
    assert done == list(range(5))


def test_without_a_key_many_run_at_once_and_no_more_than_asked_for() -> None:
    walk = Walk(concurrency=3)
    walk.takes = 1.0

    async def main() -> None:
        async with walk.scene.running(walk.app):
            await walk.ask(None, *range(7))
            await walk.scene.clock.advance(0.5)
            assert len(walk.runs) == 3
            assert walk.app.statistics()["channels"]["scene"] == {"open": 7, "queued": 4}
            await walk.scene.clock.advance(1.0)
            assert len(walk.runs) == 6
            await walk.scene.run(walk.app.settled())

    run(main())
    assert sorted(walk.numbers(None)) == list(range(7))


def test_an_unkeyed_message_that_waits_holds_up_nobody() -> None:
    walk = Walk()

    async def main() -> None:
        async with walk.scene.running(walk.app):
            walk.fails = {(None, 0): 1}
            await walk.ask(None, 0, 1, 2)
            await walk.scene.clock.advance(0.5)
            assert sorted(walk.numbers(None)) == [1, 2]
            await walk.scene.run(walk.app.settled())

    run(main())
    assert sorted(walk.numbers(None)) == [0, 1, 2]


def test_a_duplicate_of_a_message_that_waits_is_not_run_and_does_not_confuse_the_count() -> None:
    walk = Walk()

    async def main() -> None:
        async with walk.scene.running(walk.app):
            walk.fails = {("a", 0): 1}
            ids = [walk.app.ids.next(walk.scene.clock.wall_ms()).hex() for _ in range(3)]
            for number, id in enumerate(ids):
                await walk.scene.run(walk.app.enqueue(Step("a", number), id=id))
            await walk.scene.clock.advance(0.5)
            for number, id in enumerate(ids):
                await walk.scene.run(walk.app.enqueue(Step("a", number), id=id))
            await walk.scene.run(walk.app.settled())
            await walk.ask("a", 3)
            await walk.scene.run(walk.app.settled())
            assert walk.app.statistics()["redelivered"] == 3

    run(main())
    assert walk.numbers("a") == [0, 1, 2, 3]


def test_a_burst_of_more_than_is_taken_in_at_once() -> None:
    walk = Walk()

    async def main() -> None:
        async with walk.scene.running(walk.app):
            for start in range(0, 3000, 500):
                await walk.scene.run(walk.app.enqueue_many([Step(f"k{n % 50}", n) for n in range(start, start + 500)]))
            await walk.scene.run(walk.app.settled())

    run(main())
    for key in range(50):
        assert walk.numbers(f"k{key}") == list(range(key, 3000, 50))


class Written(Faulty):
    """Notes what commits have written, in their order."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene.options, scene.clock)
        self.numbers: list[int] = []
        self.contested = 0
        """So many commits find that somebody else has changed their rows."""
        self.unknown: ParkedState | None = None
        """The next commit that parks such a row takes a while, and nobody learns what became of it."""
        self.late: Sequence[Unit] = ()
        """Written when somebody asks for marks: by a server whose answer nobody waits for."""

    async def known(self, wanted: Mapping[tuple[int, str], Sequence[bytes]]) -> set[tuple[str, bytes]]:
        late, self.late = self.late, ()
        if late:
            await self.commit(late)
        return await super().known(wanted)

    async def commit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        if self.unknown in [row.state for unit in units for row in unit.park]:
            self.unknown = None
            await sleep(self.clock, 0.1)
            self.late = [copy(unit) for unit in units]
            raise OutcomeUnknown("no answer")
        statements = [unit.statements for unit in units]
        if self.contested and any(statements):
            self.contested -= 1
            return [Outcome(Commit.FAILED, Conflict("changed")) for _ in units]
        for unit in units:
            unit.statements = ()
        outcomes = await super().commit(units)
        for unit, written, outcome in zip(units, statements, outcomes, strict=True):
            unit.statements = written
            if outcome is COMMITTED:
                self.numbers += [statement.args[0] for statement in written]
        return outcomes


def writing(scene: Scene, store: Written, seconds: float) -> Catga:
    """An app whose handler takes a while."""
    app = scene.app(store=store)

    @app.handler(Step, id="step")
    async def step(cmd: Step, tx: Transaction) -> None:
        await sleep(scene.clock, seconds)
        tx.execute("", cmd.number)

    return app


def restart(app: Catga) -> None:
    """The queue's server: its parts are claimed anew at the next look."""
    running = app._running
    assert running is not None
    (channel,) = running.delivery._channels
    rows: Any = channel._consumer._rows  # type: ignore[attr-defined]
    read = rows.read

    async def restarted(*_: Any) -> Any:
        rows.read = read
        raise Restarted

    rows.read = restarted


def test_what_is_in_hand_when_parts_are_claimed_anew_is_not_overtaken() -> None:
    scene = Scene()
    store = Written(scene)
    app = scene.app(store=store, retry=ONCE)
    failed: list[int] = []

    @app.handler(Step, id="step")
    async def step(cmd: Step, tx: Transaction) -> None:
        await sleep(scene.clock, 0.5)
        if cmd.number == 0 and not failed:
            failed.append(0)
            raise LookupError
        tx.execute("", cmd.number)

    async def main() -> None:
        async with scene.running(app):
            await scene.run(app.enqueue_many([Step("a", number) for number in range(4)]))
            # The first has failed and been retried, the second runs, and those behind it are in hand.
            await scene.clock.advance(2.2)
            assert store.numbers == [0]
            restart(app)
            await scene.run(app.enqueue(Step("a", 4)))
            await scene.run(app.settled())

    run(main())
    assert store.numbers == [0, 1, 2, 3, 4]


def test_who_waits_for_a_key_goes_on_when_the_one_before_it_was_given_back() -> None:
    scene = Scene()
    store = Written(scene)
    app = writing(scene, store, 0.5)

    async def main() -> None:
        async with scene.running(app):
            await scene.run(app.enqueue_many([Step("a", number) for number in range(3)]))
            await scene.clock.advance(0.2)
            restart(app)
            await scene.run(app.settled(), 20.0)

    run(main())
    assert store.numbers == [0, 1, 2]


def test_what_is_run_again_for_a_conflict_keeps_its_place() -> None:
    scene = Scene()
    store = Written(scene)
    app = writing(scene, store, 0.1)

    async def main() -> None:
        async with scene.running(app):
            store.contested = 1
            await scene.run(app.enqueue_many([Step("a", number) for number in range(3)]))
            await scene.run(app.settled(), 20.0)

    run(main())
    assert store.numbers == [0, 1, 2]
    assert store.contested == 0


@pytest.mark.parametrize("state", [ParkedState.RETRY, ParkedState.BLOCKED])
@pytest.mark.parametrize("lands", [True, False])
def test_a_commit_that_nobody_waits_for_any_more_may_still_be_made(state: ParkedState, lands: bool) -> None:
    scene = Scene()
    store = Written(scene)
    app = scene.app(store=store, retry=ONCE)
    failed: list[int] = []

    @app.handler(Step, id="step")
    async def step(cmd: Step, tx: Transaction) -> None:
        if cmd.number == 0 and len(failed) < 2:
            failed.append(0)
            raise LookupError
        tx.execute("", cmd.number)

    async def main() -> None:
        # It commits for itself: the app is busy with its own.
        sender = scene.app(messages=(Step,))
        await scene.run(sender.start(work=False))
        async with scene.running(app):
            store.unknown = state
            await scene.run(app.enqueue_many([Step("a", number) for number in range(2)]))
            # Behind the one that is being committed, or was.
            for number in range(2, 5):
                await scene.clock.advance(0.05)
                await scene.run(sender.enqueue(Step("a", number)))
                if not lands:
                    store.late = ()
            await scene.run(app.settled())
            assert app.statistics()["dead"] == 0
        await scene.run(sender.stop())

    run(main())
    assert store.numbers == [0, 1, 2, 3, 4]
