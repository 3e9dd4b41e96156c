"""A key whose head waits: who stands behind it, and what frees it, also from outside this process."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from catga import Catga, Command, Context, Retry
from catga.deadletters import DeadLetters
from catga.delivery import retries


class Step(Command, key="key"):
    key: str
    number: int


def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/steps.db?synchronous=NORMAL"


async def until(found: Any) -> None:
    async with asyncio.timeout(30):
        while not found():  # noqa: ASYNC110 - what is asked tells nobody when it changes
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "PATIENCE", 0.05)


async def test_settled_does_not_wait_for_what_stands_behind_a_dead_letter(tmp_path: Path) -> None:
    app = Catga("steps", store=url(tmp_path), retry=Retry(delayed=0))
    done: list[int] = []

    @app.handler(Step, id="step", when_dead="block")
    async def step(cmd: Step) -> None:
        if cmd.number == 0:
            raise ValueError("dies")
        done.append(cmd.number)

    async with app:
        await app.enqueue_many([Step("a", n) for n in range(4)])
        async with asyncio.timeout(20):
            await app.settled()
        assert done == []
        await app.enqueue(Step("b", 9))
        await app.settled()
        assert done == [9]


@pytest.mark.parametrize("followers", [0, 3])
async def test_a_purge_from_elsewhere_frees_the_key(tmp_path: Path, followers: int) -> None:
    app = Catga("steps", store=url(tmp_path), retry=Retry(delayed=0))
    done: list[int] = []

    @app.handler(Step, id="step", when_dead="block")
    async def step(cmd: Step) -> None:
        if cmd.number == 0:
            raise ValueError("dies")
        done.append(cmd.number)

    async with app:
        await app.enqueue_many([Step("a", n) for n in range(1 + followers)])
        await app.settled()
        async with DeadLetters.open(url(tmp_path)) as letters:
            assert await letters.purge_all() == 1
        await app.enqueue(Step("a", 8))
        await until(lambda: 8 in done)
        # Nothing of it is left in memory either: what comes next goes straight through.
        blocked = app._alive().delivery._channels[0]._hand.blocked  # type: ignore[union-attr]
        await until(lambda: not blocked.waiting)
        assert (blocked._heads, blocked._dead, blocked._parts) == ({}, {}, {})
        await app.enqueue(Step("a", 9))
        await app.settled()
    assert done == [*range(1, 1 + followers), 8, 9]


async def test_a_replay_from_elsewhere_frees_nobody_else(tmp_path: Path) -> None:
    app = Catga("steps", store=url(tmp_path), retry=Retry(delayed=1, first=0.2, jitter=0))
    done: list[int] = []
    tries: dict[int, int] = {}

    @app.handler(Step, id="step", retry=Retry(delayed=0))
    async def step(cmd: Step, ctx: Context) -> None:
        tries[cmd.number] = tries.get(cmd.number, 0) + 1
        if cmd.number == 1 and tries[1] == 1:
            raise ValueError("dies")
        done.append(cmd.number)

    async with app:
        await app.enqueue(Step("a", 1))
        await until(lambda: app.statistics()["dead"] == 1)

    again = Catga("steps", store=url(tmp_path), retry=Retry(delayed=5, first=0.5, jitter=0))
    go = False

    @again.handler(Step, id="step")
    async def later(cmd: Step) -> None:
        tries[cmd.number] = tries.get(cmd.number, 0) + 1
        if cmd.number == 2 and not go:
            raise ValueError("not yet")
        done.append(cmd.number)

    async with again:
        await again.enqueue_many([Step("a", 2), Step("a", 3)])
        await until(lambda: tries.get(2) and again.statistics()["retried"] == 1)
        async with DeadLetters.open(url(tmp_path)) as letters:
            assert await letters.replay_all() == 1
        await until(lambda: 1 in done)
        await again.enqueue(Step("a", 4))
        await asyncio.sleep(0.1)
        go = True
        await again.settled()
    assert done == [1, 2, 3, 4]
