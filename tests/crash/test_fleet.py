"""Producers, relays and consumers are killed, and the servers too, and the counts must come out: nothing lost, each effect
once, every key in order.

`CATGA_ROUNDS` sets how many rounds (3 by default, 50 in `make test-crash`), `CATGA_SEED` replays one.
"""

import asyncio
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from catga.testing.servers import Server
from tests.crash.fleet import ROLES, Fleet
from tests.crash.member import make_app
from tests.crash.scenes import AWAY, LEASE, Effect, Scene, scene

ROUNDS = int(os.environ.get("CATGA_ROUNDS", "3"))
SEED = int(os.environ.get("CATGA_SEED", random.SystemRandom().randrange(1 << 32)))
MESSAGES = 2000
"""In each round, and waiting at any time."""
PACE = 0.1
"""Seconds between two tenths of that."""


def run(there: Scene, fleet: Fleet, chance: random.Random, rounds: int = ROUNDS) -> None:
    """All rounds, and then the rest of the work."""
    feeder = Feeder(there, fleet)
    feeder.start()
    try:
        for number in range(rounds):
            feeder.wait_for(number * MESSAGES + chance.randrange(MESSAGES))
            fleet.kill(chance.randint(1, 3))
            if number % 5 == min(2, rounds - 1):
                fleet.away = max(fleet.away, restart(chance.choice(there.servers), chance))
            fleet.replace_ended()
        feeder.wait_for(rounds * MESSAGES)
    finally:
        feeder.end()
    finish(there, fleet)


def restart(server: Server, chance: random.Random) -> float:
    """Kills a server; the seconds until it was there again."""
    began = time.monotonic()
    server.kill()
    time.sleep(chance.uniform(0.2, 1.0))
    server.start()
    return time.monotonic() - began


class Feeder(threading.Thread):
    """Asks for more and more, as long as it is worked off: there is always work, and never much."""

    def __init__(self, there: Scene, fleet: Fleet) -> None:
        super().__init__()
        self._there = there
        self._fleet = fleet
        self._allowed = 0
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(PACE):
            try:
                if self._fleet.attempted() - self._there.count("effects") >= MESSAGES:
                    continue
            except AWAY:
                continue
            self._allowed += MESSAGES // 10
            self._fleet.allow(self._allowed)

    def wait_for(self, messages: int) -> None:
        """Until so many were asked for; those that could not start while a server was away start meanwhile."""
        while self._allowed < messages:
            assert self.is_alive(), "nobody asks for more"
            self._fleet.replace_ended()
            time.sleep(0.01)

    def end(self) -> None:
        self._over.set()
        self.join()


def finish(there: Scene, fleet: Fleet) -> None:
    """Waits until nothing is left to do."""

    async def settled() -> None:
        app = make_app(there.ground)
        await app.start(work=False)
        async with asyncio.timeout(120):
            while await app._alive().pending():
                fleet.replace_ended()
                await asyncio.sleep(0.1)
        await app.stop()

    # The last ones may be between the outbox and the broker.
    until = time.monotonic() + 120
    while len(fleet.acknowledged() - set(there.effects("effects"))) and time.monotonic() < until:
        fleet.replace_ended()
        time.sleep(0.1)
    asyncio.run(settled())
    while there.count("echoes") < there.count("effects") and time.monotonic() < until:
        time.sleep(0.1)


def verdict(there: Scene, fleet: Fleet) -> dict[str, int]:
    """What went wrong, counted."""
    acknowledged = fleet.acknowledged()
    effects, echoes = there.effects("effects"), there.effects("echoes")
    return {
        "lost": len(acknowledged - set(effects)),
        "repeated": sum(count - 1 for count in Counter(effects).values()),
        "inversions": len(inverted(effects)),
        "echoes lost": len(set(effects) - set(echoes)),
        "echoes repeated": sum(count - 1 for count in Counter(echoes).values()),
        "echoes inverted": len(inverted(echoes)),
    }


def inverted(effects: list[Effect]) -> list[Effect]:
    """Messages that took effect after a later one of their key."""
    last: dict[str, int] = {}
    found: list[Effect] = []
    for key, number in effects:
        if number < last.get(key, -1):
            found.append((key, number))
        last[key] = max(number, last.get(key, -1))
    return found


def witness(there: Scene, fleet: Fleet) -> str:
    """What a failed run is explained by: the keys that were out of order, and what the members said."""
    lines: list[str] = []
    for table in ("effects", "echoes"):
        for key, number in inverted(there.effects(table)):
            history = there.history(table, key)
            at = next((n for n, line in enumerate(history) if line.partition(":")[0] == str(number)), 0)
            said = "acknowledged" if (key, number) in fleet.acknowledged() else "never acknowledged"
            lines += [f"{table}: {number} of {key}, {said}, came too late", *history[max(0, at - 12) : at + 8]]
    return "\n".join([*lines, *fleet.logs()])


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["postgres", "postgres and nats", "valkey"])
def test_nothing_is_lost_or_repeated_or_reordered(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    roles = ROLES if kind == "postgres and nats" else ("producer", "consumer")
    chance = random.Random(SEED)
    with scene(kind) as there, Fleet(there.ground, tmp_path, chance, roles) as fleet:
        run(there, fleet, chance)
        counted = verdict(there, fleet)
        with capsys.disabled():
            print(
                f"\n{kind} seed={SEED}: {len(fleet.acknowledged()):,} acknowledged, {there.count('effects'):,} took effect, {fleet.killed} killed, idle of them {fleet.idle},"
                f" longest time without an effect {there.longest_gap():.1f} s, a server away {fleet.away:.1f} s, {counted}"
            )
            if any(counted.values()):
                print(witness(there, fleet))
        assert not any(counted.values()), (counted, SEED)
        assert there.longest_gap() <= LEASE + 2 + fleet.away, SEED
        assert len(fleet.idle) <= 0.2 * fleet.killed, fleet.idle
        assert not any(fleet.stop())


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("wrong", "sign"), [("reads by number", "echoes lost"), ("no leases", "inversions")])
def test_what_is_done_wrong_is_found_out(wrong: str, sign: str, tmp_path: Path) -> None:
    roles = ("producer", "consumer")
    with scene("postgres", wrong) as there, Fleet(there.ground, tmp_path, random.Random(SEED), roles) as fleet:
        counted: dict[str, int] = {sign: 0}
        for tried in range(1, 7):
            fleet.allow(tried * 2 * MESSAGES)
            # What is still on its way is not lost: whoever reads by number never comes back for it.
            time.sleep(8.0)
            if (counted := verdict(there, fleet))[sign]:
                break
        assert counted[sign] > 0, counted
