"""The histogram as the values themselves, and as the obvious Python one that it must beat."""

import math


class Values:
    def __init__(self) -> None:
        self.values: list[int] = []

    def quantile(self, q: float) -> int:
        if not self.values:
            return 0
        return sorted(self.values)[max(math.ceil(q * len(self.values)), 1) - 1]


class Histogram:
    """Log-linear with 128 buckets for every power of two: what one would write in Python."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.count = self.total = self.highest = 0

    def record(self, value: int) -> None:
        shift = max(value.bit_length() - 8, 0)
        upper = (value >> shift << shift) + (1 << shift) - 1
        self.counts[upper] = self.counts.get(upper, 0) + 1
        self.count += 1
        self.total += value
        if value > self.highest:
            self.highest = value

    def buckets(self) -> list[tuple[int, int]]:
        return sorted(self.counts.items())
