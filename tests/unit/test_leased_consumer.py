"""`LeasedConsumer`: its parts while the store of their leases is away."""

from collections.abc import Collection, Sequence
from typing import Any, cast

import pytest

from catga.errors import StoreUnavailable
from catga.ports.messages import WINDOW, Lease
from catga.ports.store import Share, Store
from catga.ports.transport import Settle, Settled
from catga.queues.consumer import LeasedConsumer
from catga.queues.rows import End, Restarted, Row, Want
from catga.testing import run
from catga.testing.clock import VirtualClock

TTL = 3.0


class Leases:
    """One part, renewed under the same epoch whenever it answers, unless it is claimed anew."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._epoch = 1
        self.away = False

    async def claim(self, scope: str, owner: str, parts: int, ttl: float, *, anew: bool = False) -> Share:
        if self.away:
            raise StoreUnavailable("the store is away")
        before = self._epoch
        self._epoch += anew
        return Share([Lease(scope, 0, self._epoch, self._clock.monotonic() + ttl)], 0, {0: before})

    async def advance(self, owner: str, positions: Sequence[tuple[Lease, str]]) -> None:
        pass

    async def release(self, scope: str, owner: str, leases: Sequence[Lease], leave: bool = False) -> None:
        pass


class Log:
    """Rows that are not removed: a position says what has ended, and a settlement counts while its lease is valid."""

    def __init__(self, clock: VirtualClock, count: int) -> None:
        self._clock = clock
        self._left: list[Row] = [(0, False, number, number, b"", None) for number in range(1, count + 1)]
        self.restarted = False

    def version(self) -> int:
        return len(self._left)

    async def changed(self, version: int, seconds: float) -> None:
        await self._clock.advance(seconds)

    def wake(self) -> None:
        pass

    async def begin(self, leases: Sequence[Lease]) -> Sequence[int]:
        return [0] * len(leases)

    async def read(
        self, wants: Sequence[Want], most: int, known: Collection[int]
    ) -> tuple[Sequence[Row], Collection[tuple[int, bool]]]:
        if self.restarted:
            self.restarted = False
            raise Restarted
        room = min([most, *(room for _, urgent, room in wants if not urgent)]) if wants else 0
        found, self._left = self._left[:room], self._left[room:]
        return found, [(0, True)]

    async def end(self, items: Sequence[tuple[int, Lease]]) -> Sequence[bool]:
        return [lease.valid_until > self._clock.monotonic() for _, lease in items]

    async def positions(self, ends: Sequence[End]) -> Sequence[str | None]:
        return ["kept"] * len(ends)

    async def close(self) -> None:
        pass


def test_what_is_settled_after_its_lease_lapsed_does_not_fill_the_window_for_ever() -> None:
    async def main() -> None:
        clock = VirtualClock()
        leases, log = Leases(clock), Log(clock, WINDOW + 1)
        consumer = LeasedConsumer(cast("Store", leases), log, clock, "steps", "me", TTL)
        await consumer.start()
        out: list[Any] = []
        while len(out) < WINDOW:
            out += await consumer.receive(WINDOW - len(out), 0)
        leases.away = True
        await clock.advance(TTL * 1.5)
        said = await consumer.settle([(delivery.token, Settle.DONE) for delivery in out])
        assert set(said) == {Settled.STALE}
        leases.away = False
        await clock.advance(TTL / 2)
        (last,) = await consumer.receive(10, 1)
        assert last.token == WINDOW + 1
        await consumer.stop()

    run(main())


def epoch_of(consumer: LeasedConsumer) -> int | None:
    lease = consumer.lease_of(0)
    return None if lease is None else lease.epoch


def test_a_log_that_began_again_is_read_under_new_epochs_though_its_store_was_away() -> None:
    async def main() -> None:
        clock = VirtualClock()
        leases, log = Leases(clock), Log(clock, 2)
        consumer = LeasedConsumer(cast("Store", leases), log, clock, "steps", "me", TTL)
        await consumer.start()
        await consumer.receive(1, 0)
        log.restarted = leases.away = True
        with pytest.raises(StoreUnavailable):
            await consumer.receive(1, 0)
        leases.away = False
        await clock.advance(TTL / 2)
        assert epoch_of(consumer) == 1, "renewed by its keeper"
        await consumer.receive(1, 0)
        assert epoch_of(consumer) == 2
        await consumer.stop()

    run(main())
