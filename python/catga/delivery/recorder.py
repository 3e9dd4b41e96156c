"""What delivery counts; read when somebody asks, never pushed."""

from collections.abc import Sequence
from typing import Any

from catga import _core
from catga.envelope.refusals import Refusals
from catga.ports.store import Parked, ParkedState


class Recorder:
    """Counts per app; latency is from the due time to the commit, ms by the wall clock."""

    def __init__(self) -> None:
        self.done: int = 0
        self.redeliveries: int = 0
        self.retries: int = 0
        self.dead: int = 0
        self._refusals = Refusals()
        self.latency: _core.Histogram = _core.Histogram()

    def handled(self, dues_ms: Sequence[int], now_ms: int) -> None:
        """Messages that took effect with a commit, by their due times."""
        self.done += len(dues_ms)
        self.latency.record_many([now_ms - due if now_ms > due else 0 for due in dues_ms])

    def parked(self, row: Parked) -> None:
        """A commit has recorded a failure."""
        if row.state is ParkedState.DEAD:
            self.dead += 1
        elif row.state is ParkedState.RETRY:
            self.retries += 1

    def refused(self, channel: str, error: Exception) -> bool:
        """A message that cannot be read or is not trusted goes to the dead letters; whether it is the first of its channel
        for this reason."""
        self.dead += 1
        return self._refusals.add(channel, error)

    def redelivered(self, count: int) -> None:
        """Messages that came again: their marks said so, or an instance that ended without a word had, or may have had,
        them out."""
        self.redeliveries += count

    def statistics(self) -> dict[str, Any]:
        """done, redelivered, retried, dead, refused by code (they are dead too); latency quantiles in ms."""
        quantile = self.latency.quantile
        return {
            "done": self.done,
            "redelivered": self.redeliveries,
            "retried": self.retries,
            "dead": self.dead,
            "refused": dict(self._refusals.by_code),
            "latency_p50_ms": quantile(0.5),
            "latency_p99_ms": quantile(0.99),
        }
