"""The memory store against the public suites, and the suites against stores that read by number."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from catga.backends.memory import MemoryOptions, MemoryStore
from catga.ports import Lease, Outgoing, Store, Unit
from catga.testing import VirtualClock, run
from catga.testing.conformance import (
    InboxConformance,
    LeasesConformance,
    OutboxConformance,
    ParkedConformance,
    QueueConformance,
    StoreConformance,
    Stores,
    TransportConformance,
)
from catga.testing.conformance.crew import Crew

_names = itertools.count()


class Holding:
    """Holds the first commit of a store open."""

    def __init__(self) -> None:
        self._reached = asyncio.Event()
        self._released = asyncio.Event()

    async def __call__(self, units: Sequence[Unit]) -> None:
        if not self._reached.is_set():
            self._reached.set()
            await self._released.wait()

    async def reached(self) -> None:
        await self._reached.wait()

    def release(self) -> None:
        self._released.set()


@asynccontextmanager
async def hold(store: MemoryStore) -> AsyncIterator[Holding]:
    store.hold = holding = Holding()
    try:
        yield holding
    finally:
        holding.release()
        store.hold = None


class Memory:
    """Stores of one name; the name is the test's own, and is gone with its last store."""

    @pytest.fixture
    def make_store(self, clock: VirtualClock) -> Callable[[], MemoryStore]:
        options = MemoryOptions(name=f"test-{next(_names)}")
        keeper = MemoryStore(options, clock)
        return lambda: keeper and MemoryStore(options, clock)

    @pytest.fixture
    def hold_commit(self):
        return hold


class TestStore(Memory, StoreConformance):
    pass


class TestInbox(Memory, InboxConformance):
    pass


class TestOutbox(Memory, OutboxConformance):
    pass


class TestLeases(Memory, LeasesConformance):
    pass


class TestParked(Memory, ParkedConformance):
    pass


class TestTransport(Memory, TransportConformance):
    pass


class TestQueue(Memory, QueueConformance):
    pass


# -- that the suites bite ---------------------------------------------------------------------------------------------


class ByNumber(MemoryStore):
    """Reads its outbox as so many have: by numbers greater than the last one seen."""

    last = 0

    async def outbox(self, leases: Sequence[Lease], most: int) -> Sequence[Outgoing]:
        rows = sorted(self.data.unsent(leases[0].part).after(0), key=lambda row: row.number)
        found = [row for row in rows if row.number > self.last][:most]
        self.last = max([self.last, *(row.number for row in found)])
        return [row.message for row in found]


def test_a_reader_by_number_loses_rows_and_is_found_out() -> None:
    async def main() -> list[int]:
        clock = VirtualClock()
        slow, quick = (ByNumber(MemoryOptions(name="by number"), clock) for _ in range(2))
        await slow.open()
        await quick.open()
        lease = (await quick.claim("orders", "a", 1, 10.0)).leases[0]
        async with hold(slow) as holding:
            late = asyncio.ensure_future(slow.commit([Unit(publish=[outgoing(1)])]))
            await holding.reached()
            await quick.commit([Unit(publish=[outgoing(2)])])
            seen = [int(row.frame) for row in await quick.outbox([lease], 10)]
            holding.release()
            await late
        seen += [int(row.frame) for row in await quick.outbox([lease], 10)]
        assert await quick.pending() == 2
        await quick.close()
        await slow.close()
        return seen

    assert run(main()) == [2]


def outgoing(number: int) -> Outgoing:
    return Outgoing(number.to_bytes(16), "orders", 0, None, 4, 0, b"%d" % number)


def test_the_outbox_suite_fails_for_a_reader_by_number() -> None:
    clock = VirtualClock()
    keeper = ByNumber(MemoryOptions(name="bites"), clock)
    stores = Stores(lambda: keeper and ByNumber(keeper.options, clock))
    test = OutboxConformance.test_a_commit_that_stands_open_is_not_read_and_not_lost
    with pytest.raises(AssertionError):
        test(OutboxConformance(), stores=stores, hold_commit=hold, clock=clock)


def test_the_queue_suite_fails_for_a_reader_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    from catga.backends.memory.data import Data
    from catga.backends.memory.rows import Row

    add = Data.add

    def add_by_number(self: Data, row: Row, queued: bool) -> None:
        add(self, row, queued)
        row.place = row.number

    monkeypatch.setattr(Data, "add", add_by_number)
    clock = VirtualClock()
    options = MemoryOptions(name="bites too")
    keeper = MemoryStore(options, clock)
    stores = Stores(lambda: keeper and MemoryStore(options, clock))

    async def make(store: Store):
        return store.queue()

    test = QueueConformance.test_a_commit_that_stands_open_is_not_received_and_not_lost
    with pytest.raises(AssertionError):
        test(QueueConformance(), crew=Crew(stores, make, clock), hold_commit=hold)
