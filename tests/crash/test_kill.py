"""Processes are killed and the counts must come out: nothing lost, each effect once, every key in order.

`CATGA_ROUNDS` sets how many rounds (5 by default, 50 in `make test-crash`), `CATGA_SEED` replays one.
"""

import asyncio
import os
import random
import shutil
import sqlite3
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.crash.count import count
from tests.crash.crew import Crew
from tests.crash.points import POINTS
from tests.crash.steps import TABLES, Step, make_app

ROUNDS = int(os.environ.get("CATGA_ROUNDS", "5"))
SEED = int(os.environ.get("CATGA_SEED", random.SystemRandom().randrange(1 << 32)))
WORKERS = 4
KEYS = 200
LEASE = 5.0
BACKLOG = 900


class Asker:
    """Enqueues in an app of its own that is never killed, and keeps the ledger."""

    def __init__(self, store: str) -> None:
        self.app = make_app(store, "asker")
        self.acknowledged: set[tuple[str, int]] = set()
        self._next = dict.fromkeys((f"key-{n}" for n in range(KEYS)), 0)

    async def ask(self, chance: random.Random, messages: int) -> None:
        """So many messages over all keys, each key in the order of its numbers."""
        batch = []
        for _ in range(messages):
            key = chance.choice(list(self._next))
            batch.append(Step(key, self._next[key]))
            self._next[key] += 1
        for start in range(0, len(batch), 100):
            await self.app.enqueue_many(batch[start : start + 100])
            self.acknowledged.update((step.key, step.number) for step in batch[start : start + 100])

    async def ask_while(self, chance: random.Random, other: Coroutine[Any, Any, None]) -> None:
        """Keeps everybody busy until `other` has ended."""
        task = asyncio.ensure_future(other)
        while not task.done():
            # A backlog, so that everybody has work in hand, and not more than can be finished after.
            if await self.app._alive().pending() < BACKLOG:
                await self.ask(chance, 200)
            await asyncio.wait([task], timeout=0.02)
        await task


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("synchronous", ["NORMAL", "FULL"])
def test_nothing_is_lost_or_repeated_or_reordered(
    tmp_path: Path, synchronous: str, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)
    rounds = (ROUNDS + 1) // 2
    path = tmp_path / "steps.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(TABLES)
    connection.close()
    store = f"sqlite:///{path}?lease={LEASE}&synchronous={synchronous}"
    torn = []

    async def scenario() -> tuple[Asker, Crew, list[int]]:
        asker = Asker(store)
        await asker.app.start(work=False)
        with Crew(WORKERS, store, tmp_path / "board", chance) as crew:
            for number in range(rounds):
                await asker.ask_while(chance, asyncio.to_thread(crew.kill_some, 3, 20.0))
                if number % 5 == 1:
                    torn.append(await asyncio.to_thread(tear, path, tmp_path / f"torn-{number}", chance))
            for _ in range(40):
                if not set(POINTS) - crew.reached:
                    break
                await asker.ask_while(chance, asyncio.to_thread(crew.kill_some, 1, 5.0))
            await asyncio.to_thread(crew.disarm)
            await asker.app.settled()
            codes = await asyncio.to_thread(crew.stop)
        await asker.app.stop()
        return asker, crew, codes

    asker, crew, codes = asyncio.run(scenario())
    hit = sum(claims > 0 for claims in crew.open_at_death)
    with capsys.disabled():
        print(
            f"\nsynchronous={synchronous} seed={SEED}: {len(asker.acknowledged):,} acknowledged, {len(crew.open_at_death)} killed, {hit} with a batch in flight,"
            f" {len(crew.reached)} of {len(POINTS)} points reached, {len(torn)} torn logs, longest wait for the lock {crew.longest_wait / 1e3:.0f} ms"
        )
    for table in ("effects", "echoes"):
        counted = count(str(path), table, asker.acknowledged)
        assert (counted.lost, counted.repeated, counted.unexpected, counted.inversions) == (0, 0, 0, 0), (
            table,
            counted,
            SEED,
        )
    assert set(POINTS) == crew.reached
    assert hit >= len(crew.open_at_death) / 2
    assert crew.longest_wait / 1e6 <= LEASE / 10
    assert not any(codes)
    with sqlite3.connect(path) as connection:
        assert connection.execute("select count(*) from catga_parked").fetchone() == (0,)
    connection.close()
    for folder in torn:
        check_torn(folder, synchronous)


def tear(path: Path, folder: Path, chance: random.Random) -> Path:
    """A copy as a power failure would leave it: the log cut at any byte."""
    folder.mkdir()
    for suffix in ("", "-wal"):
        if Path(f"{path}{suffix}").exists():
            shutil.copy(f"{path}{suffix}", folder / f"steps.db{suffix}")
    log = folder / "steps.db-wal"
    if log.exists() and log.stat().st_size:
        os.truncate(log, chance.randrange(log.stat().st_size))
    return folder


def check_torn(folder: Path, synchronous: str) -> None:
    """The copy is whole, and what it holds is finished from it: each message that it knows of takes effect once."""
    path = folder / "steps.db"
    connection = sqlite3.connect(path)
    assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    connection.close()

    async def finish() -> None:
        app = make_app(f"sqlite:///{path}?lease=1&synchronous={synchronous}", "after")
        async with app:
            await app.settled()

    asyncio.run(finish())
    connection = sqlite3.connect(path)
    known = {tuple(row) for row in connection.execute("select key, number from effects")}
    connection.close()
    for table in ("effects", "echoes"):
        counted = count(str(path), table, known)
        assert (counted.lost, counted.repeated, counted.inversions) == (0, 0, 0), (table, counted, SEED)
