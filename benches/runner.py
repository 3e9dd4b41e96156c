"""Rows of a group are timed in turn, round after round, so that a slow minute of the machine hits all alike."""

import asyncio
import gc
import inspect
import statistics
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import perf_counter_ns
from typing import Any

import msgspec
import uvloop

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}
BOTH = ("asyncio", "uvloop")
ROUNDS = 41


class Row(msgspec.Struct, frozen=True):
    """One line of a table: `timed(count)` does the thing `count` times, or gives its own figure where `count` is 0.

    What `before` does is not timed: it makes ready what a round uses up.
    """

    name: str
    timed: Callable[..., Any]
    count: int = 0
    before: Callable[[], Any] | None = None


class Group(msgspec.Struct, frozen=True):
    """Rows that are compared with each other; `rows` sets them up and takes them down."""

    name: str
    rows: Callable[[], AbstractAsyncContextManager[Sequence[Row]]]
    unit: str = "ns"
    loops: tuple[str, ...] = BOTH
    rounds: int = ROUNDS


class Measured(msgspec.Struct, frozen=True):
    """A row's figures, one for each round; less is better."""

    group: str
    loop: str
    name: str
    unit: str
    rounds: list[float]

    @property
    def minimum(self) -> float:
        """The best round: what the machine can do."""
        return min(self.rounds)

    @property
    def median(self) -> float:
        """The middle round: what to expect."""
        return statistics.median(self.rounds)


class Bar(msgspec.Struct, frozen=True):
    """A promise about two rows of one run: `ours` takes at most `goal` times what `other` takes.

    With `at_least` it is the other way round: `other` takes at least `goal` times what `ours` takes. Without `other`
    the figure itself is at most `goal`.
    """

    name: str
    group: str
    ours: str
    other: str | None
    goal: float
    at_least: bool = False
    loop: str = "uvloop"

    def judge(self, found: Sequence[Measured]) -> "Verdict":
        """`missing` where one of the rows was not measured: a bar must not pass by being left out."""
        rows = {row.name: row.minimum for row in found if (row.group, row.loop) == (self.group, self.loop)}
        ours, other = rows.get(self.ours), rows.get(self.other) if self.other is not None else 1.0
        if ours is None or other is None:
            return Verdict(self.name, None, self.goal, "missing")
        above, below = (other, ours) if self.at_least else (ours, other)
        ratio = above / below if below else float("inf")
        held = ratio >= self.goal if self.at_least else ratio <= self.goal
        return Verdict(self.name, ratio, self.goal, "ok" if held else "short")


class Verdict(msgspec.Struct, frozen=True):
    """One printed line of a bar."""

    name: str
    ratio: float | None
    goal: float
    outcome: str

    def __str__(self) -> str:
        ratio = "-" if self.ratio is None else f"{self.ratio:.3g}"
        return f"bar {self.name} {ratio} {self.goal:g} {self.outcome}"


async def once(row: Row) -> float:
    """The figure of one round."""
    if row.before is not None:
        row.before()
    if not row.count:
        return float(await _await(row.timed()))
    start = perf_counter_ns()
    ended = row.timed(row.count)
    if inspect.isawaitable(ended):
        await ended
    return (perf_counter_ns() - start) / row.count


def measure(group: Group, loop: str, rounds: int | None = None) -> list[Measured]:
    """Every row of a group on one loop; what a round repeats is first done once for nothing, to warm up."""

    async def run() -> list[Measured]:
        async with group.rows() as rows:
            figures: dict[str, list[float]] = {row.name: [] for row in rows}
            # What the set-up left would otherwise be walked in the middle of somebody's round.
            gc.collect()
            gc.freeze()
            for row in rows:
                if row.count:
                    await once(row)
            for _ in range(rounds or group.rounds):
                for row in rows:
                    figures[row.name].append(await once(row))
            gc.unfreeze()
            return [
                Measured(group.name, loop, name, group.unit, [float(f"{figure:.5g}") for figure in found])
                for name, found in figures.items()
            ]

    with asyncio.Runner(loop_factory=LOOPS.get(loop)) as runner:
        return runner.run(run())


def fixed(rows: Callable[[], Sequence[Row]]) -> Callable[[], AbstractAsyncContextManager[Sequence[Row]]]:
    """For groups that need no taking down."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Sequence[Row]]:
        yield rows()

    return opened


async def _await(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
