"""An obvious batcher: one list per batch, grouped when it is taken."""

from typing import Any


class BatcherModel:
    def __init__(self, count: int, size: int, age_ms: int) -> None:
        self.count, self.size, self.age_ms = count, size, age_ms
        self.closed: list[list[tuple[Any, int, bytes | None]]] = []
        self.open: list[tuple[Any, int, bytes | None]] = []
        self.since_ms = 0

    def add(self, item: Any, size: int, key: bytes | None, now_ms: int) -> bool:
        if self.open and (self._aged(now_ms) or self._held() + size > self.size):
            self._close()
        if not self.open:
            self.since_ms = now_ms
        self.open.append((item, size, key))
        if len(self.open) == self.count or self._held() >= self.size or self._aged(now_ms):
            self._close()
        return bool(self.closed)

    def take(self, now_ms: int, *, force: bool = False) -> list[list[Any]] | None:
        if self.open and (self._aged(now_ms) or (force and not self.closed)):
            self._close()
        if not self.closed:
            return None
        runs: dict[bytes | None, list[Any]] = {}
        for item, _, key in self.closed.pop(0):
            runs.setdefault(key, []).append(item)
        return list(runs.values())

    def deadline(self) -> int | None:
        return self.since_ms + self.age_ms if self.open else None

    def __len__(self) -> int:
        return len(self.open) + sum(map(len, self.closed))

    def _held(self) -> int:
        return sum(size for _, size, _ in self.open)

    def _aged(self, now_ms: int) -> bool:
        return self.since_ms + self.age_ms <= now_ms

    def _close(self) -> None:
        self.closed.append(self.open)
        self.open = []
