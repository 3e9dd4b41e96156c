"""The outbox: what was committed is sent, none is lost, and order holds."""

import asyncio

from catga.ports import Commit, Lease, Store, Unit
from catga.testing.clock import SteeredClock
from catga.testing.conformance.base import (
    Conformance,
    HoldCommit,
    Stores,
    bad,
    committed,
    fates,
    lease_on,
    mark,
    message,
    numbers,
    rounds,
)


class OutboxConformance(Conformance):
    """Stores whose own queue is not used: what units publish waits for a relay."""

    async def sent(self, store: Store, lease: Lease, *numbers: int) -> set[int]:
        """Says of messages that they were sent."""
        return set(await store.sent([lease], [message(number, part=lease.part) for number in numbers]))

    async def test_committed_rows_in_the_order_of_units(self, stores: Stores) -> None:
        store = await stores.open()
        lease = await lease_on(store)
        await committed(store, Unit(publish=[message(1), message(2)]), Unit(publish=[message(3)]))
        await committed(store, Unit(publish=[message(4)]))
        assert numbers(await store.outbox([lease], 10)) == [1, 2, 3, 4]

    async def test_rows_come_back_as_they_were(self, stores: Stores) -> None:
        store = await stores.open()
        lease = await lease_on(store, part=3)
        row = message(1, key=b"\x00key", part=3, priority=7)
        await committed(store, Unit(publish=[row]))
        assert list(await store.outbox([lease], 10)) == [row]

    async def test_reading_again_gives_the_same_order(self, stores: Stores) -> None:
        store = await stores.open()
        lease = await lease_on(store)
        for n in range(20):
            await committed(store, Unit(publish=[message(n, priority=n % 8)]))
            assert numbers(await store.outbox([lease], 100)) == list(range(n + 1))

    async def test_at_most_so_many_of_one_part(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(publish=[message(n, part=n % 2) for n in range(10)]))
        even, odd = await lease_on(store, 0), await lease_on(store, 1)
        assert numbers(await store.outbox([even], 3)) == [0, 2, 4]
        assert numbers(await store.outbox([odd], 100)) == [1, 3, 5, 7, 9]

    async def test_sent_removes_these_and_no_others(self, stores: Stores) -> None:
        store = await stores.open()
        lease = await lease_on(store)
        await committed(store, Unit(publish=[message(n) for n in range(6)]))
        assert numbers(await store.outbox([lease], 10)) == list(range(6))
        assert await self.sent(store, lease, 0, 3) == set()
        assert numbers(await store.outbox([lease], 10)) == [1, 2, 4, 5]
        assert await self.sent(store, lease, 0, 99) == set()
        assert await self.sent(store, lease) == set()
        assert numbers(await store.outbox([lease], 10)) == [1, 2, 4, 5]
        assert await store.pending() == 4

    async def test_what_was_sent_is_soon_no_longer_pending_for_anybody(
        self, stores: Stores, clock: SteeredClock
    ) -> None:
        relay, other = await stores.open(), await stores.open()
        lease = await lease_on(relay, ttl=60.0)
        for number in range(3):
            await committed(other, Unit(publish=[message(number)]))
            assert numbers(await relay.outbox([lease], 10)) == [number]
            assert await self.sent(relay, lease, number) == set()
        await clock.advance(2.0)
        # It has nothing left to send, and still looks.
        assert numbers(await relay.outbox([lease], 10)) == []
        assert await other.pending() == 0

    async def test_several_parts_in_the_order_in_which_they_are_asked_for(self, stores: Stores) -> None:
        store = await stores.open()
        leases = {lease.part: lease for lease in (await store.claim("relay", "a", 16, self.lease_ttl)).leases}
        await committed(store, Unit(publish=[message(n, part=n % 3) for n in range(9)]))
        assert numbers(await store.outbox([leases[2], leases[0], leases[7]], 5)) == [2, 5, 8, 0, 3]
        assert numbers(await store.outbox([leases[1]], 5)) == [1, 4, 7]
        assert list(await store.outbox([], 5)) == []

    async def test_one_superseded_lease_of_several_keeps_its_rows(self, stores: Stores, clock: SteeredClock) -> None:
        store = await stores.open()
        await committed(store, Unit(publish=[message(n, part=n) for n in range(2)]))
        old = await lease_on(store, 0, ttl=self.lease_ttl)
        await clock.advance(self.lease_ttl * 1.5)
        await lease_on(store, 0, owner="b", ttl=self.lease_ttl)
        new = await lease_on(store, 1, owner="b", ttl=self.lease_ttl)
        assert numbers(await store.outbox([new], 10)) == [1]
        assert set(await store.sent([old, new], [message(n, part=n) for n in range(2)])) == {0}
        assert await store.pending() == 1

    async def test_sent_leaves_other_parts_alone(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(publish=[message(1, part=0), message(2, part=1)]))
        assert await self.sent(store, await lease_on(store, 0), 1, 2) == set()
        assert numbers(await store.outbox([await lease_on(store, 1)], 10)) == [2]

    async def test_a_superseded_relay_removes_nothing(self, stores: Stores, clock: SteeredClock) -> None:
        store = await stores.open()
        await committed(store, Unit(publish=[message(1)]))
        old = await lease_on(store, ttl=self.lease_ttl)
        await clock.advance(self.lease_ttl * 1.5)
        new = await lease_on(store, owner="b", ttl=self.lease_ttl)
        assert await self.sent(store, old, 1) == {0}
        assert numbers(await store.outbox([new], 10)) == [1]
        assert await self.sent(store, new, 1) == set()

    async def test_what_was_not_committed_is_never_read(self, stores: Stores) -> None:
        store = await stores.open()
        lease = await lease_on(store)
        await committed(store, Unit(marks=[mark(1)]))
        outcomes = await store.commit(
            [
                Unit(publish=[message(1)], marks=[mark(1)]),
                Unit(publish=[message(2)], statements=[bad()]),
                Unit(publish=[message(3)]),
            ]
        )
        assert fates(outcomes) == [Commit.DUPLICATE, Commit.FAILED, Commit.COMMITTED]
        assert numbers(await store.outbox([lease], 10)) == [3]

    async def test_a_commit_that_stands_open_is_not_read_and_not_lost(
        self, stores: Stores, hold_commit: HoldCommit | None, clock: SteeredClock
    ) -> None:
        slow, quick = await stores.open(), await stores.open()
        lease = await lease_on(quick)
        seen: list[int] = []

        async def relay() -> None:
            rows = await quick.outbox([lease], 100)
            seen.extend(numbers(rows))
            assert not await quick.sent([lease], rows)

        if hold_commit is None:
            late = asyncio.ensure_future(committed(slow, Unit(publish=[message(1)])))
            await committed(quick, Unit(publish=[message(2)]))
            await relay()
        else:
            async with hold_commit(slow) as held:
                late = asyncio.ensure_future(committed(slow, Unit(publish=[message(1)])))
                await held.reached()
                await committed(quick, Unit(publish=[message(2)]))
                await relay()
                assert seen == [2]
                held.release()
        await late
        await relay()
        assert sorted(seen) == [1, 2]

    async def test_many_writers_and_a_reader_lose_and_repeat_nothing(self, stores: Stores) -> None:
        instances = [await stores.open() for _ in range(3)]
        reader = await stores.open()
        lease = await lease_on(reader)
        seen: list[int] = []

        async def write(store: int) -> None:
            for n in range(40):
                await committed(instances[store], Unit(publish=[message(1000 * store + n)]))

        async def relay() -> None:
            rows = await reader.outbox([lease], 7)
            again = await reader.outbox([lease], 7)
            assert [row.id for row in again][: len(rows)] == [row.id for row in rows]
            seen.extend(numbers(rows))
            assert not await reader.sent([lease], rows)

        writing = asyncio.gather(*(write(store) for store in range(3)))
        while not writing.done():
            await relay()
            await rounds(1)
        await writing
        while await reader.pending():
            await relay()
        assert sorted(seen) == sorted(1000 * store + n for store in range(3) for n in range(40))
        for store in range(3):
            ours = [n for n in seen if n // 1000 == store]
            assert ours == sorted(ours), "one instance's messages kept no order"
