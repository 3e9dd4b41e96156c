"""Timers of one process: any number on one wheel, in order, with one timer of the clock armed for the next."""

from collections.abc import Callable
from typing import Any

import pytest

from catga.mediator.timers import Timers
from catga.testing import VirtualClock, run


class Counting(VirtualClock):
    """Knows what is armed."""

    def __init__(self) -> None:
        super().__init__()
        self.armed: list[float] = []

    def call_at(self, when: float, call: Callable[[], object]) -> Any:
        self.armed.append(when)
        assert len(self.armed) < 20_000, "armed again and again for one moment"

        def fire() -> None:
            self.armed.remove(when)
            call()

        timer = super().call_at(when, fire)
        cancel = timer.cancel

        class Armed:
            def cancel(_) -> None:  # noqa: N805 - `self` is the clock
                self.armed.remove(when)
                cancel()

        return Armed()


def test_each_fires_within_the_millisecond_after_its_time() -> None:
    async def main() -> None:
        clock = Counting()
        timers = Timers(clock)
        fired: list[tuple[int, float]] = []
        for ms in [*range(1, 2500), 5_000, 70_000, 5_000_000]:
            timers.after(ms / 1000, lambda ms=ms: fired.append((ms, clock.monotonic())))  # type: ignore[misc]
            assert len(clock.armed) == 1
        assert len(timers) == 2502
        await clock.advance(6_000.0)
        assert [ms for ms, _ in fired] == [*range(1, 2500), 5_000, 70_000, 5_000_000]
        assert all(ms / 1000 <= at <= ms / 1000 + 0.001_001 for ms, at in fired)
        assert (len(timers), clock.armed) == (0, [])

    run(main())


def test_an_earlier_one_is_armed_in_place_of_a_later() -> None:
    async def main() -> None:
        clock = Counting()
        timers = Timers(clock)
        fired: list[str] = []
        timers.after(10.0, lambda: fired.append("late"))
        timers.after(5.0, lambda: fired.append("early"))
        timers.after(7.0, lambda: fired.append("between"))
        assert clock.armed == [pytest.approx(5.001)]
        await clock.advance(6.0)
        assert fired == ["early"]
        assert clock.armed == [pytest.approx(7.001)]
        await clock.advance(10.0)
        assert fired == ["early", "between", "late"]

    run(main())


def test_of_equal_times_the_first_fires_first() -> None:
    async def main() -> None:
        clock = Counting()
        timers = Timers(clock)
        fired: list[int] = []
        for number in range(10):
            timers.after(1.0, lambda number=number: fired.append(number))  # type: ignore[misc]
        await clock.advance(2.0)
        assert fired == list(range(10))

    run(main())


def test_cancelled_ones_do_not_fire_and_say_whether_they_would_have() -> None:
    async def main() -> None:
        clock = Counting()
        timers = Timers(clock)
        fired: list[str] = []
        kept, gone = timers.after(1.0, lambda: fired.append("kept")), timers.after(1.0, lambda: fired.append("gone"))
        assert timers.cancel(gone) is True
        assert timers.cancel(gone) is False
        await clock.advance(2.0)
        assert timers.cancel(kept) is False
        timers.after(1.0, lambda: fired.append("cleared"))
        timers.clear()
        timers.clear()
        assert (len(timers), clock.armed) == (0, [])
        await clock.advance(2.0)
        assert fired == ["kept"]
        # It can be used again.
        timers.after(1.0, lambda: fired.append("after"))
        await clock.advance(2.0)
        assert fired == ["kept", "after"]

    run(main())


def test_what_fires_may_set_another() -> None:
    async def main() -> None:
        clock = Counting()
        timers = Timers(clock)
        fired: list[float] = []

        def again() -> None:
            fired.append(round(clock.monotonic(), 1))
            if len(fired) < 5:
                timers.after(0.5, again)
                assert len(clock.armed) == 1

        timers.after(60.0, lambda: fired.append(60.0))
        timers.after(0.5, again)
        await clock.advance(10.0)
        assert fired == [0.5, 1.0, 1.5, 2.0, 2.5]
        assert clock.armed == [pytest.approx(60.001)]
        await clock.advance(60.0)
        assert fired[-1] == 60.0

    run(main())
