"""The batcher against its model."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from catga._core import Batcher

from .models.batcher import BatcherModel

KEYS = st.one_of(st.none(), st.sampled_from([b"", b"a", b"b"]))


class BatcherMachine(RuleBasedStateMachine):
    @initialize(count=st.integers(1, 8), size=st.integers(1, 120), age_ms=st.integers(0, 100))
    def start(self, count: int, size: int, age_ms: int) -> None:
        self.real: Batcher[int] = Batcher(count, size, age_ms)
        self.model = BatcherModel(count, size, age_ms)
        self.now_ms = self.items = 0

    @rule(size=st.integers(0, 40), key=KEYS, later=st.integers(0, 30))
    def add(self, size: int, key: bytes | None, later: int) -> None:
        self.now_ms += later
        self.items += 1
        row = self.items, size, key, self.now_ms
        assert self.real.add(*row) == self.model.add(*row)

    @rule(force=st.booleans(), later=st.integers(0, 60))
    def take(self, force: bool, later: int) -> None:
        self.now_ms += later
        assert self.real.take(self.now_ms, force=force) == self.model.take(self.now_ms, force=force)

    @rule()
    def take_what_the_deadline_promises(self) -> None:
        deadline = self.real.deadline()
        if deadline is not None:
            self.now_ms = max(self.now_ms, deadline)
            batch = self.real.take(self.now_ms)
            assert batch is not None
            assert batch == self.model.take(self.now_ms)

    @invariant()
    def they_say_the_same_of_themselves(self) -> None:
        if hasattr(self, "real"):
            assert (len(self.real), self.real.deadline()) == (len(self.model), self.model.deadline())


BatcherMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestBatcher = BatcherMachine.TestCase


def test_a_later_item_does_not_restart_the_age() -> None:
    batcher: Batcher[int] = Batcher(100, 1000, 50)
    assert not batcher.add(1, 1, None, 10)
    assert not batcher.add(2, 1, b"k", 59)
    assert batcher.deadline() == 60
    assert batcher.take(59) is None
    assert batcher.take(60) == [[1], [2]]


def test_a_batch_exceeds_the_bytes_only_as_one_item() -> None:
    batcher: Batcher[int] = Batcher(100, 10, 50)
    assert not batcher.add(1, 6, None, 0)
    assert batcher.add(2, 6, None, 0)
    assert batcher.add(3, 90, None, 0)
    assert [batcher.take(0), batcher.take(0), batcher.take(0), batcher.take(0)] == [[[1]], [[2]], [[3]], None]
