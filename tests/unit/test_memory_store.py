"""What the memory store has of its own: names, limits, and that it keeps nothing."""

import asyncio
import gc
import os
import threading
import time

import pytest

from catga import Catga, Command, Connection, Transaction
from catga.backends import memory, open_backend
from catga.backends.memory import MemoryOptions, MemoryStore, MemoryTransport, forget
from catga.backends.memory.rows import Line, Queue, Row
from catga.clock import SystemClock
from catga.description import describe
from catga.errors import AppClosed, CatgaError, ConfigurationError, ForbiddenStatement, StoreFull, StoreUnavailable
from catga.ports import Commit, Outgoing, Unit
from catga.testing import VirtualClock, run
from catga.testing.conformance.base import CHANNEL, HANDLER, committed, fates, id_of, mark, message, parked
from catga.transaction import Statement


def test_urls_give_stores_and_transports() -> None:
    clock = VirtualClock()
    store, transport = open_backend("store", "memory://", clock), open_backend("transport", "memory://", clock)
    assert isinstance(store, MemoryStore)
    assert isinstance(transport, MemoryTransport)
    assert transport.capabilities.accepts_durably is False
    assert transport.capabilities.store_id != store.store_id


def test_without_a_name_each_store_is_its_own_and_with_one_they_share() -> None:
    async def main() -> None:
        clock = VirtualClock()
        one, other = memory.store("memory://", clock), memory.store("memory://", clock)
        first, second = memory.store("memory://name", clock), memory.store("memory://name", clock)
        assert len({one.store_id, other.store_id, first.store_id}) == 3
        assert first.store_id == second.store_id
        for store in (one, other, first, second):
            await store.open()
        await committed(one, Unit(publish=[message(1)]))
        await committed(first, Unit(publish=[message(1)]))
        assert [await store.pending() for store in (one, other, first, second)] == [1, 0, 1, 1]
        for store in (one, other, first, second):
            await store.close()

    run(main())


def test_a_name_is_gone_with_its_last_store_or_when_it_is_forgotten() -> None:
    async def pending(store: MemoryStore) -> int:
        await store.open()
        found = await store.pending()
        await committed(store, Unit(publish=[message(1)]))
        await store.close()
        return found

    def another() -> MemoryStore:
        return memory.store("memory://a name", VirtualClock())

    kept = another()
    assert [run(pending(kept)), run(pending(another()))] == [0, 1]
    forget("a name")
    fresh = another()
    assert [run(pending(fresh)), run(pending(kept))] == [0, 2]
    del kept, fresh
    gc.collect()
    assert run(pending(another())) == 0
    forget("never heard of")


def test_tables_are_refused() -> None:
    async def main() -> None:
        store = memory.store("memory://", VirtualClock())
        await store.open()
        unit = Unit(statements=[Statement("insert into things values (1)", ())], marks=[mark(1)])
        (outcome,) = await store.commit([unit])
        assert outcome.commit is Commit.FAILED
        assert isinstance(outcome.error, ForbiddenStatement)
        assert "memory://" in str(outcome.error)
        with pytest.raises(ForbiddenStatement):
            await store.fetch("select 1", ())

        async def work(connection: object) -> None:
            raise AssertionError("there is none to give")

        with pytest.raises(ForbiddenStatement):
            await store.exclusive(work, lambda _: Unit())
        await store.close()

    run(main())


def test_it_is_full_at_its_capacity_and_goes_on_when_there_is_room() -> None:
    async def main() -> None:
        store = MemoryStore(MemoryOptions(capacity=3), VirtualClock())
        await store.open()
        await committed(store, Unit(park=[parked(1)], publish=[message(1), message(2)]))
        with pytest.raises(StoreFull):
            await store.commit([Unit(marks=[mark(1)]), Unit(publish=[message(3)])])
        assert await store.mark(0, HANDLER, id_of(1)) is None
        # What takes the place of something is no growth, or a full store could not be worked off.
        await committed(store, Unit(unpark=[(HANDLER, id_of(1))], publish=[message(3)]))
        lease = (await store.claim(CHANNEL, "a", 1, 10.0)).leases[0]
        assert not await store.sent([lease], [message(1), message(2)])
        await committed(store, Unit(publish=[message(4)]))
        await store.close()

    run(main())


def test_another_thread_is_refused_while_it_is_in_use() -> None:
    refused: list[Exception] = []

    def elsewhere(store: MemoryStore) -> None:
        async def main() -> None:
            try:
                await store.open()
                await store.close()
            except CatgaError as error:
                refused.append(error)

        run(main())

    async def main(store: MemoryStore, other: MemoryStore) -> None:
        await store.open()
        await asyncio.to_thread(elsewhere, other)
        await store.close()

    store, other = (memory.store("memory://threads", VirtualClock()) for _ in range(2))
    run(main(store, other))
    assert [type(error) for error in refused] == [StoreUnavailable]
    thread = threading.Thread(target=elsewhere, args=(other,))
    thread.start()
    thread.join()
    assert len(refused) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_is_told() -> None:
    async def main() -> int:
        store = memory.store("memory://", VirtualClock())
        await store.open()
        if (child := os.fork()) == 0:
            try:
                store.data.check()
            except AppClosed:
                os._exit(7)
            os._exit(1)
        await store.close()
        return child

    _, status = os.waitpid(run(main()), 0)
    assert os.waitstatus_to_exitcode(status) == 7


class Order(Command, key="key"):
    key: str
    number: int


def test_an_app_on_memory_retries_in_order_under_virtual_time() -> None:
    def story() -> list[tuple[int, float]]:
        async def main() -> list[tuple[int, float]]:
            clock = VirtualClock()
            app = Catga("shop", store="memory://", transport="memory://", clock=clock)
            seen: list[tuple[int, float]] = []
            failed: set[int] = set()

            @app.handler(Order)
            async def order(cmd: Order) -> None:
                if cmd.number % 7 == 3 and cmd.number not in failed:
                    failed.add(cmd.number)
                    raise LookupError
                seen.append((cmd.number, clock.monotonic()))

            await clock.run(app.start())
            await clock.run(app.enqueue_many([Order("a", number) for number in range(30)]))
            await clock.run(app.settled())
            await clock.run(app.stop())
            return seen

        return run(main())

    before = time.monotonic()
    first = story()
    assert [number for number, _ in first] == list(range(30))
    assert [number for number, _ in story()] == list(range(30))
    assert time.monotonic() - before < 30


@pytest.mark.parametrize("kind", [Transaction, Connection])
def test_an_app_that_writes_on_memory_is_refused_at_start(kind: type) -> None:
    async def main() -> str:
        app = Catga("shop", store="memory://", clock=VirtualClock())

        async def order(cmd: Order, tx: object) -> None: ...

        order.__annotations__["tx"] = kind
        app.handler(Order)(order)
        with pytest.raises(ConfigurationError, match="has no tables") as refused:
            await app.start()
        assert describe(app).mistakes
        return str(refused.value)

    assert "CTG-2008" in run(main())


def test_lines_drop_what_is_gone() -> None:
    line, rows = Line(), [Row(n, message(n)) for n in range(1000)]
    for place, row in enumerate(rows, 1):
        row.place = place
        line.append(row)
    for row in rows[:990]:
        row.gone = True
        line.dropped()
        assert len(line) == 1000 - row.place
        assert [each.place for each in line.first(2)] == [row.place + 1, row.place + 2]
    assert len(line._rows) < 100


def test_a_queue_has_a_line_for_each_rank() -> None:
    queue = Queue()
    rows = {}
    for place, (number, priority, key) in enumerate(
        [(1, 4, None), (2, 3, None), (3, 0, None), (4, 7, None), (5, 0, None), (6, 0, b"k")], 1
    ):
        row = rows[number] = Row(number, Outgoing(b"", CHANNEL, 0, key, priority, 0, b""))
        row.place = place
        queue.append(row)
    assert {rank: [row.number for row in queue.line(rank).after(0)] for rank in range(8)} == {
        0: [3, 5],
        1: [],
        2: [],
        3: [2],
        4: [1, 4, 6],
        5: [],
        6: [],
        7: [],
    }
    queue.drop(rows[3])
    assert [row.number for row in queue.line(0).after(0)] == [5]


def test_stores_of_the_system_clock_work_too() -> None:
    async def main() -> None:
        store = memory.store("memory://", SystemClock())
        consumer = await store_consumer(store)
        waiting = asyncio.ensure_future(consumer.receive(10, 5.0))
        await asyncio.sleep(0)
        assert fates(await store.commit([Unit(publish=[message(1)])])) == [Commit.COMMITTED]
        assert len(await waiting) == 1
        await consumer.stop()
        await store.close()

    asyncio.run(main())


async def store_consumer(store: MemoryStore):
    transport = store.queue()
    await transport.open()
    return await transport.consume(CHANNEL, "a", store)
