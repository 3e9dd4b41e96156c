"""Whatever a store answers, and however late: each message of a key takes effect once, and after those before it."""

import asyncio
import random
from collections.abc import Mapping, Sequence

import pytest
from tests.unit.scene import Faulty, Scene

from catga import Batch, Command, Context, Event, Retry, Transaction
from catga.backends.memory import MemoryOptions
from catga.clock import sleep
from catga.errors import OutcomeUnknown, StoreUnavailable
from catga.ports.store import COMMITTED, Outcome, Parked, Unit
from catga.testing import VirtualClock, run

FAULTS = 12
KEYS = "abc"
EACH = 15
"""Messages of a key."""


class Step(Command, key="key"):
    key: str
    number: int


class Stepped(Event, key="key"):
    key: str
    number: int


class Chancy(Faulty):
    """Answers late and, some of the time, not at all; keeps what handlers wrote in the order of the commits."""

    def __init__(self, options: MemoryOptions, clock: VirtualClock, chance: random.Random) -> None:
        super().__init__(options, clock)
        self._chance = chance
        self._left = FAULTS
        self.effects: dict[str, list[int]] = {}

    async def commit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        handled = any(unit.marks for unit in units)
        await self._late(*[StoreUnavailable("locked"), OutcomeUnknown("not written")] if handled else ())
        written = [unit.statements for unit in units]
        for unit in units:
            unit.statements = ()
        outcomes = await super().commit(units)
        for unit, statements, outcome in zip(units, written, outcomes, strict=True):
            unit.statements = statements
            if outcome is COMMITTED:
                for handler, key, number in (statement.args for statement in statements):
                    self.effects.setdefault(f"{handler} {key}", []).append(number)
        await self._late(*[OutcomeUnknown("written")] if handled else ())
        return outcomes

    async def known(self, wanted: Mapping[tuple[int, str], Sequence[bytes]]) -> set[tuple[str, bytes]]:
        await self._late(StoreUnavailable("no answer"))
        return await super().known(wanted)

    async def due(self, channel: str, parts: Sequence[int], now_ms: int, most: int) -> Sequence[Parked]:
        await self._late(StoreUnavailable("no answer"))
        return await super().due(channel, parts, now_ms, most)

    async def _late(self, *errors: Exception) -> None:
        for _ in range(self._chance.choice((0, 0, 1, 3, 10))):
            await asyncio.sleep(0)
        if errors and self._left and self._chance.random() < 0.2:
            self._left -= 1
            raise self._chance.choice(errors)


@pytest.mark.parametrize("where", ["in the store", "elsewhere"])
@pytest.mark.parametrize("seed", range(50))
def test_each_key_keeps_its_order_and_each_message_its_one_effect(where: str, seed: int) -> None:
    async def main() -> None:
        chance, scene = random.Random(seed), Scene()
        store = Chancy(scene.options, scene.clock, chance)
        queue = scene.elsewhere() if where == "elsewhere" else None
        app = scene.app(store=store, transport=queue, retry=Retry(delayed=50, first=0.05, most=0.2))
        stubborn = {(handler, number) for handler in ("step", "echo") for number in range(EACH) if chance.random() < 0.1}
        failed: set[tuple[str, str, int]] = set()

        def fail_once(handler: str, key: str, number: int) -> None:
            if (handler, number) in stubborn and (handler, key, number) not in failed:
                failed.add((handler, key, number))
                raise ValueError("not the first time")

        @app.handler(Step, id="step")
        async def step(cmd: Step, ctx: Context, tx: Transaction) -> None:
            for _ in range(chance.choice((0, 0, 2))):
                await asyncio.sleep(0)
            fail_once("step", cmd.key, cmd.number)
            tx.execute("", "step", cmd.key, cmd.number)
            ctx.publish(Stepped(cmd.key, cmd.number))

        @app.handler(Stepped, id="echo", batch=Batch(size=chance.randint(2, 6), wait=0.01))
        async def echo(events: list[Stepped], tx: Transaction) -> None:
            await asyncio.sleep(0)
            for event in events:
                fail_once("echo", event.key, event.number)
                tx.execute("", "echo", event.key, event.number)

        async with scene.running(app):
            for number in range(EACH):
                await scene.run(app.enqueue_many([Step(key, number) for key in KEYS]))
                if chance.random() < 0.3:
                    await scene.run(sleep(scene.clock, chance.choice((0.01, 0.3))))
            until = scene.clock.monotonic() + 300
            while sum(map(len, store.effects.values())) < 2 * len(KEYS) * EACH and scene.clock.monotonic() < until:
                await scene.run(sleep(scene.clock, 0.1))
            assert app.statistics()["dead"] == 0
        assert store.effects == {f"{handler} {key}": list(range(EACH)) for handler in ("step", "echo") for key in KEYS}

    run(main())
