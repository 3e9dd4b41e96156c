"""Obvious lanes: flat lists, searched from the front each time."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False, slots=True)
class Row:
    item: Any
    key: bytes | None
    priority: int
    put_ms: int


@dataclass(frozen=True, eq=False, slots=True)
class Ready:
    """A keyless row, or a key whose first row may run."""

    row: Row | None
    key: bytes | None
    since_ms: int


class LanesModel:
    def __init__(self, capacity: int, *, policy: str = "block", strict: bool = False, aging_ms: int = 1000) -> None:
        self.capacity, self.policy, self.strict, self.aging_ms = capacity, policy, strict, aging_ms
        self.now_ms = 0
        self.rows: list[Row] = []  # in order of arrival
        self.line: list[Ready] = []  # in the order in which they became ready
        self.in_flight: set[bytes] = set()
        self.accepted = self.rejected = self.dropped = self.drained = 0

    def put(self, item: Any, key: bytes | None, priority: int, now_ms: int) -> tuple[bool, Any]:
        self.now_ms = max(self.now_ms, now_ms)
        old = None
        if len(self.rows) == self.capacity:
            if self.policy in ("block", "reject"):
                self.rejected += self.policy == "reject"
                return False, None
            self.dropped += 1
            lowest = max(row.priority for row in self.rows)
            if self.policy == "drop_newest" or priority > lowest:
                return False, item
            old = self._evict(lowest)
        self.accepted += 1
        row = Row(item, key, priority, self.now_ms)
        self.rows.append(row)
        if key is None or (key not in self.in_flight and self._listed(key) is None):
            self.line.append(Ready(row if key is None else None, key, self.now_ms))
        return True, old

    def put_many(
        self, items: list[Any], keys: list[bytes | None] | None, priorities: bytes | int, now_ms: int
    ) -> tuple[int, list[Any]]:
        self.now_ms = max(self.now_ms, now_ms)
        accepted, dropped = 0, []
        for at, item in enumerate(items):
            priority = priorities if isinstance(priorities, int) else priorities[at]
            yes, gone = self.put(item, keys[at] if keys else None, priority, now_ms)
            accepted += yes
            dropped += [gone] if gone is not None else []
        return accepted, dropped

    def drain(self, most: int, now_ms: int) -> list[Any]:
        self.now_ms = max(self.now_ms, now_ms)
        out = []
        while self.line and len(out) < most:
            best = min(self.line, key=self._rank)  # min gives the first of equals
            row = self._head(best)
            self.line.remove(best)
            self.rows.remove(row)
            if best.key is not None:
                self.in_flight.add(best.key)
            out.append(row.item)
        self.drained += len(out)
        return out

    def done(self, key: bytes) -> bool:
        if key not in self.in_flight:
            return False
        self.in_flight.remove(key)
        if not any(row.key == key for row in self.rows):
            return False
        self.line.append(Ready(None, key, self.now_ms))
        return True

    def ready(self) -> int:
        return len(self.line)

    def clear(self) -> list[Any]:
        items = [row.item for row in self.rows]
        self.rows, self.line, self.in_flight = [], [], set()
        return items

    def statistics(self) -> dict[str, int | list[int]]:
        return {
            "queued": len(self.rows),
            "ready": len(self.line),
            "in_flight": len(self.in_flight),
            "capacity": self.capacity,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "dropped": self.dropped,
            "drained": self.drained,
            "oldest_ms": self.now_ms - self.rows[0].put_ms if self.rows else 0,
            "by_priority": [sum(row.priority == level for row in self.rows) for level in range(8)],
        }

    def __len__(self) -> int:
        return len(self.rows)

    def _head(self, ready: Ready) -> Row:
        return ready.row or next(row for row in self.rows if row.key == ready.key)

    def _rank(self, ready: Ready) -> int:
        priority = self._head(ready).priority
        return priority if self.strict else ready.since_ms + priority * self.aging_ms

    def _listed(self, key: bytes) -> Ready | None:
        return next((ready for ready in self.line if ready.key == key), None)

    def _evict(self, lowest: int) -> Any:
        victim = next(row for row in self.rows if row.priority == lowest)
        listed = next((ready for ready in self.line if self._head(ready) is victim), None)
        self.rows.remove(victim)
        if listed is None:
            return victim.item
        heir = next((row for row in self.rows if row.key == victim.key), None) if victim.key is not None else None
        if heir is None or heir.priority != lowest:
            self.line.remove(listed)
            if heir is not None:
                self.line.append(Ready(None, victim.key, self.now_ms))
        return victim.item
