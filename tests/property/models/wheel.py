"""The wheel as one sorted list, searched from end to end."""

from typing import Generic, TypeVar

T = TypeVar("T")


class Wheel(Generic[T]):
    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.arrivals = 0
        self.pending: list[tuple[int, int, int, T]] = []

    def insert(self, deadline_ms: int, item: T, key: int) -> None:
        self.arrivals += 1
        self.pending.append((deadline_ms, self.arrivals, key, item))
        self.pending.sort(key=lambda timer: timer[:2])

    def cancel(self, key: int) -> T | None:
        for timer in self.pending:
            if timer[2] == key:
                self.pending.remove(timer)
                return timer[3]
        return None

    def reset(self, key: int, deadline_ms: int) -> bool:
        for timer in self.pending:
            if timer[2] == key:
                self.pending.remove(timer)
                self.insert(deadline_ms, timer[3], key)
                return True
        return False

    def drain(self, now_ms: int) -> list[T]:
        self.now_ms = max(self.now_ms, now_ms)
        due = [item for deadline, _, _, item in self.pending if deadline <= self.now_ms]
        del self.pending[: len(due)]
        return due

    def clear(self) -> list[T]:
        items = [timer[3] for timer in self.pending]
        self.pending.clear()
        return items

    def next_deadline(self) -> int | None:
        return min((timer[0] for timer in self.pending), default=None)
