"""Histograms: what recording one value costs."""

from collections.abc import Callable
from typing import Any

from tests.property.models import histogram as model

from benches.runner import Group, Row, fixed
from catga import _core

COUNT = 10_000
VALUES = [number * number % 100_003 for number in range(1000)]


def recording(record: Callable[[int], Any]) -> Callable[[int], None]:
    """Values over five orders of magnitude."""

    def timed(count: int) -> None:
        for _ in range(count // len(VALUES)):
            for value in VALUES:
                record(value)

    return timed


def in_batches(record_many: Callable[[list[int]], Any]) -> Callable[[int], None]:
    """A thousand a call."""

    def timed(count: int) -> None:
        for _ in range(count // len(VALUES)):
            record_many(VALUES)

    return timed


def rows() -> list[Row]:
    """Ours and the obvious Python one."""
    return [
        Row("catga Histogram", recording(_core.Histogram().record), COUNT),
        Row("catga Histogram, 1,000 at a time", in_batches(_core.Histogram().record_many), COUNT),
        Row("the same in Python", recording(model.Histogram().record), COUNT),
    ]


GROUPS = [Group("histogram", fixed(rows), loops=("uvloop",))]
