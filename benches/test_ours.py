"""Our side of every bar under pytest-benchmark, to compare two commits: `pytest benches --benchmark-autosave`."""

import asyncio
import inspect
from typing import Any

import pytest

from benches.runner import LOOPS
from benches.subjects import BARS, GROUPS

OURS = sorted({(bar.group, bar.ours) for bar in BARS})


@pytest.mark.parametrize(("group", "name"), OURS, ids=[f"{group}: {name}" for group, name in OURS])
def test_ours(benchmark: Any, group: str, name: str) -> None:
    """One call does `count` things, as in the runner."""
    with asyncio.Runner(loop_factory=LOOPS["uvloop"]) as runner:
        opened = GROUPS[group].rows()
        row = next(row for row in runner.run(opened.__aenter__()) if row.name == name)
        if not row.count:
            pytest.skip("gives its own figure, which a stopwatch around it would not show")

        def once() -> None:
            ended = row.timed(row.count)
            if inspect.isawaitable(ended):
                runner.run(_finish(ended))

        benchmark.extra_info["count"] = row.count
        benchmark.pedantic(once, rounds=GROUPS[group].rounds, warmup_rounds=1)
        runner.run(opened.__aexit__(None, None, None))


async def _finish(ended: Any) -> None:
    await ended
