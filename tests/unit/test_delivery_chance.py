"""Whatever a store answers, and however late: each message of a key takes effect once, and after those before it."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from copy import copy
from typing import Any

import pytest
from tests.unit.scene import Elsewhere, Faulty, Scene

from catga import Batch, Catga, Command, Context, Event, Retry, Transaction
from catga.backends.memory import MemoryOptions, MemoryTransport
from catga.clock import sleep
from catga.errors import Conflict, OutcomeUnknown, StoreUnavailable
from catga.ports.store import COMMITTED, Commit, Outcome, Store, Unit
from catga.queues import LeasedConsumer, Restarted
from catga.testing import VirtualClock, run

SEEDS = int(os.environ.get("CATGA_SEEDS", "75"))
FAULTS = 40
KEYS = "abc"
EACH = 40
"""Messages of a key."""


class Step(Command, key="key"):
    key: str
    number: int


class Stepped(Event, key="key"):
    key: str
    number: int


READS = ("known", "due", "followers", "waiting", "next_due", "positions", "outbox")
WRITES = ("alone", "clear", "advance", "sent", "claim")


class Chances:
    """When and how the stores of one run fail, and what took effect in them, in the order of the commits."""

    def __init__(self, seed: int, clock: VirtualClock) -> None:
        self.random = random.Random(seed)
        self._clock = clock
        self.left = 0
        """So many failures may still be."""
        self.effects: dict[str, list[int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def apart(self, work: Coroutine[Any, Any, None]) -> None:
        """While its caller goes on."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def late(self, *errors: Exception) -> None:
        """Some rounds of the loop, and perhaps a failure."""
        for _ in range(self.random.choice((0, 0, 1, 3, 10))):
            await asyncio.sleep(0)
        await sleep(self._clock, self.random.choice((0.0, 0.0, 0.002, 0.02)))
        if errors and self.fails(0.2):
            raise self.random.choice(errors)

    def fails(self, chance: float) -> bool:
        """One of those that are left."""
        failed = self.left > 0 and self.random.random() < chance
        self.left -= failed
        return failed

    def faulty(self, call: Callable[..., Awaitable[Any]], writes: bool) -> Callable[..., Awaitable[Any]]:
        """Fails before it, and, where it writes, after it too."""

        async def called(*args: Any, **options: Any) -> Any:
            await self.late(StoreUnavailable("no answer"))
            result = await call(*args, **options)
            await self.late(*[StoreUnavailable("no word")] if writes else ())
            return result

        return called


class Chancy(Faulty):
    """Answers late and, some of the time, not at all."""

    def __init__(self, options: MemoryOptions, clock: VirtualClock, chances: Chances) -> None:
        super().__init__(options, clock)
        self._chances = chances
        for name in (*READS, *WRITES):
            setattr(self, name, chances.faulty(getattr(self, name), name in WRITES))

    async def commit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        handled = all(unit.marks or unit.settle or unit.park for unit in units)
        try:
            await self._chances.late(*[StoreUnavailable("locked"), OutcomeUnknown("not written")] if handled else ())
        except OutcomeUnknown:
            self._chances.apart(self._written_late([copy(unit) for unit in units]))
            raise
        outcomes = await self._write(units)
        await self._chances.late(*[OutcomeUnknown("written")] if handled else ())
        return outcomes

    async def _written_late(self, units: Sequence[Unit]) -> None:
        """Whoever had waited for it has gone, and the server has not ended yet."""
        await sleep(self.clock, self._chances.random.choice((0.001, 0.03, 0.3)))
        if self._chances.random.random() < 0.5:
            await self._write(units)

    async def _write(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        written = [unit.statements for unit in units]
        contested = [bool(unit.statements) and self._chances.fails(0.05) for unit in units]
        for unit in units:
            unit.statements = ()
        kept = [unit for unit, lost in zip(units, contested, strict=True) if not lost]
        fates = iter(await super().commit(kept) if kept else ())
        changed = Outcome(Commit.FAILED, Conflict("rows were changed"))
        outcomes = [changed if lost else next(fates) for lost in contested]
        for unit, statements, outcome in zip(units, written, outcomes, strict=True):
            unit.statements = statements
            if outcome is COMMITTED:
                for handler, key, number in (statement.args for statement in statements):
                    self._chances.effects.setdefault(f"{handler} {key}", []).append(number)
        return outcomes


def forgetful(queue: MemoryTransport, chances: Chances) -> MemoryTransport:
    """Its server crashes now and then: what is out is read again under new epochs."""
    join = queue.consume

    async def consume(channel: str, owner: str, store: Store) -> LeasedConsumer:
        consumer = await join(channel, owner, store)
        rows = consumer._rows
        read = rows.read

        async def looked(*args: Any) -> Any:
            await chances.late(Restarted())
            return await read(*args)

        rows.read = looked  # type: ignore[method-assign]
        return consumer

    queue.consume = consume  # type: ignore[method-assign]
    return queue


class Crew:
    """Instances of one app, on stores that are one."""

    def __init__(self, where: str, seed: int) -> None:
        self.scene = Scene()
        self.chances = Chances(seed, self.scene.clock)
        self._kept = self.scene.elsewhere().kept if where == "elsewhere" else None
        self._size = self.chances.random.randint(2, 6)
        self._stubborn = {
            (handler, number)
            for handler in ("step", "echo")
            for number in range(EACH)
            if self.chances.random.random() < 0.1
        }
        self._failed: set[tuple[str, str, int]] = set()

    def instance(self) -> Catga:
        """Not started."""
        store = Chancy(self.scene.options, self.scene.clock, self.chances)
        queue = forgetful(store.queue() if self._kept is None else Elsewhere(self._kept), self.chances)
        app = self.scene.app(store=store, transport=queue, retry=Retry(delayed=50, first=0.05, most=0.2))
        chance = self.chances.random

        @app.handler(Step, id="step")
        async def step(cmd: Step, ctx: Context, tx: Transaction) -> None:
            await sleep(self.scene.clock, chance.choice((0.0, 0.0, 0.005, 0.03)))
            self._fail_once("step", cmd.key, cmd.number)
            tx.execute("", "step", cmd.key, cmd.number)
            ctx.publish(Stepped(cmd.key, cmd.number))

        @app.handler(Stepped, id="echo", batch=Batch(size=self._size, wait=0.01))
        async def echo(events: list[Stepped], tx: Transaction) -> None:
            await asyncio.sleep(0)
            for event in events:
                self._fail_once("echo", event.key, event.number)
                tx.execute("", "echo", event.key, event.number)

        return app

    def _fail_once(self, handler: str, key: str, number: int) -> None:
        if (handler, number) in self._stubborn and (handler, key, number) not in self._failed:
            self._failed.add((handler, key, number))
            raise ValueError("not the first time")


@pytest.mark.parametrize("where", ["in the store", "elsewhere"])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_each_key_keeps_its_order_and_each_message_its_one_effect(where: str, seed: int) -> None:
    async def main() -> None:
        crew = Crew(where, seed)
        scene, chances = crew.scene, crew.chances
        begin, end = sorted(chances.random.sample(range(EACH), 2))
        async with scene.running(crew.instance()) as app, AsyncExitStack() as rival:
            chances.left = FAULTS
            number = 0
            while number < EACH:
                burst = range(number, min(EACH, number + chances.random.choice((1, 1, 2, 6))))
                await scene.run(app.enqueue_many([Step(key, each) for each in burst for key in KEYS]))
                number = burst.stop
                if chances.random.random() < 0.3:
                    await scene.run(sleep(scene.clock, chances.random.choice((0.01, 0.3))))
                if begin in burst or end in burst:
                    left, chances.left = chances.left, 0
                    if begin in burst:
                        await rival.enter_async_context(scene.running(crew.instance()))
                    else:
                        await rival.aclose()
                    chances.left = left
            until = scene.clock.monotonic() + 300
            while sum(map(len, chances.effects.values())) < 2 * len(KEYS) * EACH and scene.clock.monotonic() < until:
                await scene.run(sleep(scene.clock, 0.1))
            chances.left = 0
            assert app.statistics()["dead"] == 0
        expected = {f"{handler} {key}": list(range(EACH)) for handler in ("step", "echo") for key in KEYS}
        wrong = {name: effects for name, effects in chances.effects.items() if effects != expected[name]}
        assert not wrong, f"{wrong}"

    run(main())
