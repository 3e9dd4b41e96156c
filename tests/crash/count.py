"""Counting: what was acknowledged against what took effect, how often, and in which order."""

import sqlite3
from collections import Counter
from dataclasses import dataclass


@dataclass
class Count:
    """Of one table of effects."""

    lost: int
    repeated: int
    unexpected: int
    inversions: int


def count(path: str, table: str, acknowledged: set[tuple[str, int]]) -> Count:
    """Reads the effects in the order they were committed."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    rows = connection.execute(f"select key, number from {table} order by seq").fetchall()
    connection.close()
    times = Counter(rows)
    last: dict[str, int] = {}
    inversions = 0
    for key, number in rows:
        inversions += number < last.get(key, -1)
        last[key] = max(number, last.get(key, -1))
    return Count(
        lost=len(acknowledged - times.keys()),
        repeated=sum(amount - 1 for amount in times.values()),
        unexpected=len(times.keys() - acknowledged),
        inversions=inversions,
    )
