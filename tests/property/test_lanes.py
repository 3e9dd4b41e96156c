"""The lanes against their model, and two promises told without it: order per key, no starvation."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from catga._core import Lanes

from .models.lanes import LanesModel

KEYS = st.one_of(st.none(), st.sampled_from([b"", b"a", b"b", b"a key that is longer than any machine word"]))
PRIORITIES = st.integers(0, 7)
LATER = st.integers(0, 150)


class LanesMachine(RuleBasedStateMachine):
    @initialize(
        capacity=st.integers(1, 12),
        policy=st.sampled_from(["block", "reject", "drop_oldest", "drop_newest", "drop_oldest"]),
        strict=st.booleans(),
        aging_ms=st.integers(1, 200),
    )
    def start(self, capacity: int, policy: str, strict: bool, aging_ms: int) -> None:
        self.real: Lanes[int] = Lanes(capacity, policy=policy, strict=strict, aging_ms=aging_ms)  # type: ignore[arg-type]
        self.model = LanesModel(capacity, policy=policy, strict=strict, aging_ms=aging_ms)
        self.now_ms = self.items = 0

    @rule(key=KEYS, priority=PRIORITIES, later=LATER)
    def put(self, key: bytes | None, priority: int, later: int) -> None:
        self.now_ms += later
        self.items += 1
        row = self.items, key, priority, self.now_ms
        assert self.real.put(*row) == self.model.put(*row)

    @rule(rows=st.lists(st.tuples(KEYS, PRIORITIES), max_size=6), keyed=st.booleans(), each=st.booleans(), later=LATER)
    def put_many(self, rows: list[tuple[bytes | None, int]], keyed: bool, each: bool, later: int) -> None:
        self.now_ms += later
        items = [self.items + 1 + at for at in range(len(rows))]
        self.items += len(rows)
        keys = [key for key, _ in rows] if keyed else None
        priorities = bytes(priority for _, priority in rows) if each else 3
        batch = items, keys, priorities, self.now_ms
        assert self.real.put_many(*batch) == self.model.put_many(*batch)

    @rule(most=st.integers(0, 6), later=LATER)
    def drain(self, most: int, later: int) -> None:
        self.now_ms += later
        assert self.real.drain(most, self.now_ms) == self.model.drain(most, self.now_ms)

    @rule(key=KEYS.filter(lambda key: key is not None))
    def done(self, key: bytes) -> None:
        assert self.real.done(key) == self.model.done(key)

    @rule(keys=st.lists(KEYS, max_size=5))
    def done_many(self, keys: list[bytes | None]) -> None:
        assert self.real.done_many(keys) == sum(self.model.done(key) for key in keys if key is not None)

    @rule()
    def clear(self) -> None:
        assert self.real.clear() == self.model.clear()

    @invariant()
    def they_say_the_same_of_themselves(self) -> None:
        if hasattr(self, "real"):
            assert self.real.statistics() == self.model.statistics()
            assert (len(self.real), self.real.ready()) == (len(self.model), self.model.ready())


LanesMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestLanes = LanesMachine.TestCase


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(KEYS, PRIORITIES), max_size=40), most=st.integers(1, 5), strict=st.booleans())
def test_one_item_in_flight_per_key_and_in_order(rows: list[tuple[bytes | None, int]], most: int, strict: bool) -> None:
    lanes: Lanes[tuple[int, bytes | None]] = Lanes(100, strict=strict)
    for at, (key, priority) in enumerate(rows):
        lanes.put((at, key), key, priority, at)
    last: dict[bytes, int] = {}
    left = 0
    while batch := lanes.drain(most, 100):
        keys = [key for _, key in batch if key is not None]
        assert len(set(keys)) == len(keys)
        for at, key in batch:
            if key is not None:
                assert last.get(key, -1) < at
                last[key] = at
        left += len(batch)
        lanes.done_many(keys)
    assert left == len(rows)


@settings(max_examples=30, deadline=None)
@given(aging_ms=st.integers(1, 40), late=st.lists(st.tuples(st.integers(1, 7), st.integers(0, 200)), max_size=12))
def test_nothing_starves(aging_ms: int, late: list[tuple[int, int]]) -> None:
    """An item of priority p ready at t is overtaken by nothing that becomes ready at t + p * aging_ms or later."""
    lanes: Lanes[tuple[int, int]] = Lanes(1000, aging_ms=aging_ms)
    left: list[tuple[int, int]] = []
    for now_ms in range(500):
        lanes.put((now_ms, 0), None, 0, now_ms)
        for priority, at in late:
            if at == now_ms:
                lanes.put((at, priority), None, priority, now_ms)
        left += lanes.drain(1, now_ms)
    left += lanes.drain(1000, 500)
    assert len(left) == 500 + len(late)
    for place, (since_ms, priority) in enumerate(left):
        assert all(other < max(since_ms + priority * aging_ms, since_ms + 1) for other, _ in left[:place])
