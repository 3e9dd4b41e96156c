"""The ring against its model: what it takes, what it gives, and when it wakes."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from catga._core import Ring

from .models.ring import RingModel


class RingMachine(RuleBasedStateMachine):
    @initialize(capacity=st.integers(1, 9))
    def start(self, capacity: int) -> None:
        self.wakes: list[str] = []
        self.real: Ring[int] = Ring(capacity, lambda: self.wakes.append("real"))
        self.model = RingModel(capacity, lambda: self.wakes.append("model"))
        self.items = self.drains = 0

    @rule()
    def push(self) -> None:
        self.items += 1
        assert self.real.push(self.items) == self.model.push(self.items)

    @rule(most=st.integers(0, 6))
    def drain(self, most: int) -> None:
        self.drains += 1
        assert self.real.drain(most) == self.model.drain(most)

    @rule(least=st.integers(15, 16))
    def close(self, least: int) -> None:
        if self.items > least:  # late, or there is nothing to see
            self.real.close()
            self.model.close()

    @invariant()
    def they_say_the_same_of_themselves(self) -> None:
        if hasattr(self, "real"):
            assert (len(self.real), self.real.closed) == (len(self.model), self.model.closed)
            assert self.wakes.count("real") == self.wakes.count("model") <= self.drains + 1


RingMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestRing = RingMachine.TestCase
