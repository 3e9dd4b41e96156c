"""The bench runner: what it times, and that a bar cannot pass by being left out."""

from typing import Any

import pytest
from benches.runner import Bar, Group, Measured, Row, fixed, measure


def measured(**rows: list[float]) -> list[Measured]:
    return [Measured("g", "uvloop", name, "ns", rounds) for name, rounds in rows.items()]


@pytest.mark.parametrize(
    ("ours", "other", "goal", "at_least", "expected"),
    [
        (15.0, 10.0, 1.5, False, "bar b 1.5 1.5 ok"),
        (15.1, 10.0, 1.5, False, "bar b 1.51 1.5 short"),
        (2.0, 10.0, 5.0, True, "bar b 5 5 ok"),
        (2.1, 10.0, 5.0, True, "bar b 4.76 5 short"),
        (0.0, 10.0, 5.0, True, "bar b inf 5 ok"),
    ],
)
def test_a_bar_compares_the_best_rounds(ours: float, other: float, goal: float, at_least: bool, expected: str) -> None:
    bar = Bar("b", "g", "ours", "other", goal, at_least)
    found = measured(ours=[ours + 7, ours], other=[other, other + 9])
    assert str(bar.judge(found)) == expected


def test_a_bar_without_its_rows_is_missing() -> None:
    bar = Bar("b", "g", "ours", "other", 1)
    assert str(bar.judge(measured(ours=[1.0]))) == "bar b - 1 missing"
    assert str(bar.judge(measured(other=[1.0]))) == "bar b - 1 missing"
    elsewhere = Bar("b", "g", "ours", "other", 1, loop="asyncio")
    assert elsewhere.judge(measured(ours=[1.0], other=[1.0])).outcome == "missing"


def test_a_bar_without_another_row_judges_the_figure() -> None:
    bar = Bar("b", "g", "ours", None, 0)
    assert bar.judge(measured(ours=[0.0])).outcome == "ok"
    assert bar.judge(measured(ours=[1.0])).outcome == "short"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_rows_take_turns_and_the_warm_up_does_not_count(loop: str) -> None:
    played: list[str] = []

    def plain(count: int) -> None:
        played.append(f"plain {count}")

    async def awaited(count: int) -> None:
        played.append(f"awaited {count}")

    def own() -> float:
        played.append("own")
        return 7.0

    async def own_awaited() -> float:
        return 8.0

    def rows() -> list[Row]:
        made: list[tuple[str, Any, int]] = [("plain", plain, 5), ("awaited", awaited, 3), ("own", own, 0)]
        return [*(Row(*row) for row in made), Row("own awaited", own_awaited)]

    found = measure(Group("g", fixed(rows), rounds=2), loop)
    assert played == ["plain 5", "awaited 3", *["plain 5", "awaited 3", "own"] * 2]
    assert [(row.name, len(row.rounds)) for row in found] == [
        (n, 2) for n in ("plain", "awaited", "own", "own awaited")
    ]
    assert (found[2].rounds, found[3].rounds) == ([7.0, 7.0], [8.0, 8.0])
    assert found[0].minimum > 0


def test_best_and_middle() -> None:
    (row,) = measured(a=[5.0, 1.0, 9.0])
    assert (row.minimum, row.median) == (1.0, 5.0)
