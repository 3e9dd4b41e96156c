"""An obvious ring: a bounded deque and a flag that says whether the consumer was called."""

from collections import deque
from collections.abc import Callable
from typing import Any


class RingModel:
    def __init__(self, capacity: int, wake: Callable[[], object]) -> None:
        self.capacity, self.wake = capacity, wake
        self.items: deque[Any] = deque()
        self.armed = self.closed = False

    def push(self, item: Any) -> bool:
        if self.closed or len(self.items) == self.capacity:
            return False
        self.items.append(item)
        if not self.armed:
            self.armed = True
            self.wake()
        return True

    def drain(self, most: int) -> list[Any]:
        items = [self.items.popleft() for _ in range(min(most, len(self.items)))]
        if most:
            self.armed = len(items) == most
        return items

    def close(self) -> None:
        self.closed = True

    def __len__(self) -> int:
        return len(self.items)
