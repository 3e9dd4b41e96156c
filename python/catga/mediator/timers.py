"""Timers: any number of deadlines on the shared wheel, one armed timer of the loop."""

from collections.abc import Callable
from typing import Any

from catga import _core
from catga.clock import Clock, Timer


class Timers:
    """Calls back at deadlines (ms of the clock's monotonic time). Owned by the loop's thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wheel: _core.Wheel[Callable[[], Any]] = _core.Wheel(self._now())
        self._armed: Timer | None = None
        self._armed_ms = 0

    def after(self, seconds: float, call: Callable[[], Any]) -> int:
        """A key for `cancel`."""
        deadline = int((self._clock.monotonic() + seconds) * 1000) + 1
        key = self._wheel.insert(deadline, call)
        if self._armed is None or deadline < self._armed_ms:
            self._arm(deadline)
        return key

    def cancel(self, key: int) -> bool:
        """False where it has fired already."""
        return self._wheel.cancel(key) is not None

    def clear(self) -> None:
        """Cancels everything."""
        self._wheel.clear()
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None

    def __len__(self) -> int:
        return len(self._wheel)

    def _now(self) -> int:
        return int(self._clock.monotonic() * 1000)

    def _arm(self, deadline: int) -> None:
        if self._armed is not None:
            self._armed.cancel()
        self._armed_ms = deadline
        self._armed = self._clock.call_at(deadline / 1000, self._fire)

    def _fire(self) -> None:
        self._armed = None
        # Being called says that the time has come; seconds as a float may fall a hair short of it, and would be armed again
        # for the same moment.
        for call in self._wheel.drain(max(self._now(), self._armed_ms)):
            call()
        following = self._wheel.next_deadline()
        if following is not None and self._armed is None:
            self._arm(following)
