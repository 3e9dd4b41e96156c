"""The wheel and a sorted list, told the same, say the same."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.property.models.wheel import Wheel as Model

from catga._core import Wheel

# Near and far, around the edges of every level, and into the past.
DISTANCES = st.one_of(
    st.integers(-100, 200),
    st.integers(0, 300_000),
    st.builds(lambda bits, near: (1 << bits) + near, st.integers(0, 42), st.integers(-2, 2)),
)
STARTS = st.one_of(st.sampled_from([0, -1, -5_000, 1_700_000_000_000, (1 << 36) - 7]), st.integers(-(2**62), 2**62))


class Machine(RuleBasedStateMachine):
    @initialize(start=STARTS)
    def begin(self, start: int) -> None:
        self.wheel: Wheel[int] = Wheel(start)
        self.model: Model[int] = Model(start)
        self.keys = [0]
        self.last = start

    @rule(distance=DISTANCES)
    def insert(self, distance: int) -> None:
        self.last = self.model.now_ms + distance
        self.insert_again()

    @rule()
    def insert_again(self) -> None:
        item = len(self.keys)
        key = self.wheel.insert(self.last, item)
        assert key not in self.keys
        self.keys.append(key)
        self.model.insert(self.last, item, key)

    @rule(distances=st.lists(DISTANCES, max_size=6))
    def insert_many(self, distances: list[int]) -> None:
        deadlines = [self.model.now_ms + distance for distance in distances]
        items = [len(self.keys) + at for at in range(len(distances))]
        keys = self.wheel.insert_many(deadlines, items)
        assert len(keys) == len(items)
        for deadline, item, key in zip(deadlines, items, keys, strict=True):
            assert key not in self.keys
            self.keys.append(key)
            self.model.insert(deadline, item, key)

    @rule(which=st.integers(0, 2**16))
    def cancel(self, which: int) -> None:
        key = self.keys[which % len(self.keys)]
        assert self.wheel.cancel(key) == self.model.cancel(key)

    @rule(which=st.integers(0, 2**16), distance=DISTANCES)
    def reset(self, which: int, distance: int) -> None:
        key, deadline = self.keys[which % len(self.keys)], self.model.now_ms + distance
        assert self.wheel.reset(key, deadline) is self.model.reset(key, deadline)

    @rule(distance=DISTANCES)
    def drain(self, distance: int) -> None:
        now = self.model.now_ms + distance
        assert self.wheel.drain(now) == self.model.drain(now)

    @rule()
    def drain_the_next(self) -> None:
        due = self.wheel.next_deadline()
        if due is not None:
            assert self.wheel.drain(due) == self.model.drain(due)

    @rule()
    def clear(self) -> None:
        assert self.wheel.clear() == self.model.clear()

    @invariant()
    def they_agree(self) -> None:
        assert len(self.wheel) == len(self.model.pending)
        assert self.wheel.next_deadline() == self.model.next_deadline()

    def teardown(self) -> None:
        if hasattr(self, "wheel"):
            assert self.wheel.drain(2**63 - 1) == self.model.drain(2**63 - 1)


TestWheel = Machine.TestCase
TestWheel.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda wheel: wheel.insert(1.5, 0), TypeError),
        (lambda wheel: wheel.insert("1", 0), TypeError),
        (lambda wheel: wheel.insert(2**63, 0), ValueError),
        (lambda wheel: wheel.insert_many([1, 2], [0]), ValueError),
        (lambda wheel: wheel.insert_many([1, "2"], [0, 0]), TypeError),
        (lambda wheel: wheel.insert_many(1, [0]), TypeError),
        (lambda wheel: wheel.cancel(-1), ValueError),
        (lambda wheel: wheel.cancel(None), TypeError),
        (lambda wheel: wheel.reset(2**64, 1), ValueError),
        (lambda wheel: wheel.drain(None), TypeError),
        (lambda _: Wheel(2**70), ValueError),
    ],
)
def test_wrong_arguments_are_refused_and_change_nothing(call: object, error: type[Exception]) -> None:
    wheel: Wheel[int] = Wheel(0)
    wheel.insert(5, 1)
    with pytest.raises(error):
        call(wheel)
    assert (len(wheel), wheel.drain(9)) == (1, [1])


def test_any_sequence_will_do_for_many() -> None:
    wheel: Wheel[str] = Wheel(0)
    keys = wheel.insert_many(range(3), "abc")
    assert wheel.insert_many((1,), ("d",)) != keys[1:2]
    assert wheel.drain(3) == ["a", "b", "d", "c"]


def test_a_wheel_is_generic_at_run_time() -> None:
    assert Wheel[int](0).drain(1) == []
