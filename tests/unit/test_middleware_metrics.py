"""Metrics: what is counted, and that it goes on over a restart."""

import asyncio
import itertools
import time
from typing import Any

import pytest

from catga import Catga, Command
from catga.clock import Clock
from catga.middleware import Metrics
from catga.testing import VirtualClock


class Work(Command[int]):
    kind: str


class Other(Command[int]):
    pass


def app_with(metrics: Metrics, clock: Clock | None = None) -> Catga:
    app = Catga("metrics", middleware=(metrics,), clock=clock)

    @app.handler(Work, id="work")
    async def work(cmd: Work) -> int:
        if cmd.kind == "slow":
            time.sleep(0.02)  # noqa: ASYNC251
        if cmd.kind == "wait":
            await asyncio.sleep(60)
        if cmd.kind == "fail":
            raise ValueError
        return 1

    @app.handler(Other, id="other")
    async def other(cmd: Other) -> int:
        return 2

    return app


def test_handled_failed_cancelled_and_how_long() -> None:
    metrics = Metrics()

    async def main() -> None:
        async with app_with(metrics) as app:
            assert await app.send(Work("")) == 1
            await app.send(Work("slow"))
            with pytest.raises(ValueError):
                await app.send(Work("fail"))
            task = asyncio.create_task(app.send(Work("wait")))
            await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    work = metrics.statistics()["work"]
    assert (work["handled"], work["failed"], work["cancelled"]) == (4, 1, 1)
    assert 0.02 <= work["highest"] < 10
    assert work["total"] >= 0.02
    assert work["p50"] < 0.02 <= work["p99"] * 1.01
    other = metrics.statistics()["other"]
    assert (other["handled"], other["failed"], other["total"]) == (0, 0, 0)


def test_figures_go_on_where_the_app_is_started_again() -> None:
    metrics = Metrics()
    app = app_with(metrics)

    async def main() -> None:
        async with app:
            await app.send(Other())

    asyncio.run(main())
    asyncio.run(main())
    assert metrics.statistics()["other"]["handled"] == 2
    assert metrics.histogram("other").count == 2


def test_the_apps_clock_is_read_twice_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock()
    monkeypatch.setattr(clock, "monotonic", itertools.count().__next__)
    metrics = Metrics()

    async def main() -> Any:
        async with app_with(metrics, clock) as app:
            before = clock.monotonic()
            await app.send(Other())
            assert clock.monotonic() == before + 3

    asyncio.run(main())
    assert metrics.statistics()["other"]["total"] == 1.0


def test_figures_are_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock()
    metrics = Metrics()

    async def main() -> None:
        async with app_with(metrics, clock) as app:
            times = iter([0, 2.5, 3.0, 3.5, 4.0, 4.5])
            with monkeypatch.context() as patch:
                patch.setattr(clock, "monotonic", lambda: next(times))
                for _ in range(3):
                    await app.send(Other())

    asyncio.run(main())
    other = metrics.statistics()["other"]
    assert (other["handled"], other["total"], other["highest"], other["p99"]) == (3, 3.5, 2.5, 2.5)
    assert other["p50"] == pytest.approx(0.5, rel=0.01)
