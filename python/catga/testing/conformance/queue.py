"""The store's own queue: publishing and settling join the commit."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from catga.ports import Commit, Consumer, Lease, Share, Store, Transport, Unit
from catga.testing.clock import SteeredClock
from catga.testing.conformance.base import (
    CHANNEL,
    Conformance,
    HoldCommit,
    MakeStore,
    Stores,
    bad,
    committed,
    fates,
    mark,
    marked,
    message,
    numbers,
    parked,
    rounds,
)
from catga.testing.conformance.crew import Crew


@dataclass
class Instance:
    """A store, its queue and a consumer of it."""

    store: Store
    transport: Transport
    consumer: Consumer


class QueueConformance(Conformance):
    """What units publish is received, and is settled by units."""

    @pytest.fixture
    def crew(self, make_store: MakeStore, clock: SteeredClock) -> Crew:
        """What tests join consumers with."""

        async def make(store: Store) -> Transport:
            return store.queue()

        return Crew(Stores(make_store), make, clock)

    async def instance(self, crew: Crew, owner: str = "a") -> Instance:
        """An app's share in it."""
        transport = await crew.transport()
        return Instance(crew.store_of(transport), transport, await crew.join(owner, transport))

    async def test_the_queue_names_its_store(self, crew: Crew) -> None:
        one = await self.instance(crew)
        assert one.transport.capabilities.store_id == one.store.store_id
        assert one.transport.capabilities.ordered_parts

    async def test_units_arrive_in_their_order(self, crew: Crew) -> None:
        one = await self.instance(crew)
        await committed(one.store, Unit(publish=[message(1), message(2)]), Unit(publish=[message(3)]))
        await committed(one.store, Unit(publish=[message(4)]))
        assert numbers(await crew.drain(one.consumer)) == [1, 2, 3, 4]
        assert await one.store.pending() == 4

    async def test_what_was_not_committed_never_arrives(self, crew: Crew) -> None:
        one = await self.instance(crew)
        await committed(one.store, Unit(marks=[mark(1)]))
        units = [
            Unit(publish=[message(1)], marks=[mark(1)]),
            Unit(publish=[message(2)], statements=[bad()]),
            Unit(publish=[message(3)], leases=[Lease(CHANNEL, 0, 0, 0.0)]),
            Unit(publish=[message(4)]),
        ]
        fate = fates(await one.store.commit(units))
        assert fate == [Commit.DUPLICATE, Commit.FAILED, Commit.STALE, Commit.COMMITTED]
        assert numbers(await crew.drain(one.consumer)) == [4]

    async def test_a_commit_wakes_every_instance(self, crew: Crew, clock: SteeredClock) -> None:
        one, two = await self.instance(crew, "a"), await self.instance(crew, "b")
        await clock.advance(self.lease_ttl)
        for number, part in ((1, one.consumer.parts()[0]), (2, two.consumer.parts()[0])):
            waiting = [asyncio.ensure_future(each.consumer.receive(10, 60.0)) for each in (one, two)]
            await clock.settle()
            before = clock.monotonic()
            await committed(one.store, Unit(publish=[message(number, part=part)]))
            await clock.advance(0.5)
            done = [task for task in waiting if task.done()]
            assert [numbers(await task) for task in done] == [[number]]
            assert clock.monotonic() - before <= 1.0
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)

    async def test_a_unit_settles_what_it_ends(self, crew: Crew) -> None:
        one = await self.instance(crew)
        await committed(one.store, Unit(publish=[message(n) for n in range(3)]))
        found = await crew.drain(one.consumer)
        lease = one.consumer.lease_of(0)
        assert lease is not None
        await committed(one.store, Unit(marks=[mark(1)], settle=[found[1].token], leases=[lease]))
        one.consumer.settled([found[1].token])
        assert await one.store.pending() in ((2, 3) if self.log else (2,))
        one.consumer.rewind()
        assert numbers(await crew.drain(one.consumer)) == [0, 2]

    async def test_a_unit_that_is_not_committed_settles_nothing(self, crew: Crew) -> None:
        one = await self.instance(crew)
        await committed(one.store, Unit(publish=[message(n) for n in range(3)]), Unit(marks=[mark(0)]))
        tokens = [delivery.token for delivery in await crew.drain(one.consumer)]
        lease = one.consumer.lease_of(0)
        assert lease is not None
        old = Lease(lease.scope, lease.part, lease.epoch - 1, lease.valid_until)
        outcomes = await one.store.commit(
            [
                Unit(marks=[mark(0)], settle=[tokens[0]], leases=[lease]),
                Unit(statements=[bad()], settle=[tokens[1]], leases=[lease]),
                Unit(settle=[tokens[2]], leases=[old]),
            ]
        )
        assert fates(outcomes) == [Commit.DUPLICATE, Commit.FAILED, Commit.STALE]
        one.consumer.rewind()
        assert numbers(await crew.drain(one.consumer)) == [0, 1, 2]
        await crew.leave(one.consumer)
        two = await self.instance(crew, "b")
        assert numbers(await crew.drain(two.consumer)) == [0, 1, 2]

    async def test_a_channel_called_as_a_renamed_handler_keeps_its_messages(self, crew: Crew) -> None:
        one = await self.instance(crew)
        await one.store.declare([CHANNEL, "new"])
        units = [Unit(publish=[message(1)], marks=[mark(1, CHANNEL)]), Unit(park=[parked(2, handler=CHANNEL)])]
        await committed(one.store, *units)
        await one.store.rename({CHANNEL: "new"})
        await one.store.declare([CHANNEL])
        assert await marked(one.store, 1, handler="new") == [1]
        await committed(one.store, Unit(publish=[message(3)]))
        assert numbers(await crew.drain(one.consumer)) == [1, 3]
        assert [row.handler for row in await one.store.due(CHANNEL, [0], 1, 9)] == ["new"]

    async def test_settling_in_two_commits_is_no_mistake(self, crew: Crew) -> None:
        one = await self.instance(crew)
        await committed(one.store, Unit(publish=[message(1), message(2)]))
        first, _ = await crew.drain(one.consumer)
        await committed(one.store, Unit(settle=[first.token]), Unit(settle=[first.token]))
        await committed(one.store, Unit(settle=[first.token]))
        assert await one.store.pending() in ((1, 2) if self.log else (1,))

    async def test_room_made_by_a_commit_ends_the_wait(self, crew: Crew, clock: SteeredClock) -> None:
        one = await self.instance(crew)
        await committed(one.store, Unit(publish=[message(n, b"k") for n in range(300)]))
        found = await crew.drain(one.consumer)
        assert len(found) < 300
        before = clock.monotonic()
        waiting = asyncio.ensure_future(one.consumer.receive(10, 60.0))
        await clock.settle()
        await committed(one.store, Unit(settle=[found[0].token]))
        one.consumer.settled([found[0].token])
        assert numbers(await clock.run(waiting)) == [len(found)]
        assert clock.monotonic() - before < 1.0

    async def test_stopping_during_a_renewal_leaves_no_part_behind(
        self, crew: Crew, clock: SteeredClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for step in (*range(12), 20, 40):
            one, two = await self.instance(crew, "a"), await self.instance(crew, "b")
            await clock.advance(self.lease_ttl)
            assert len(one.consumer.parts()) == len(two.consumer.parts()) == 8
            await crew.leave(two.consumer)
            claiming = asyncio.Event()
            claim = one.store.claim

            async def announced(
                *args: Any,
                claim: Callable[..., Awaitable[Share]] = claim,
                claiming: asyncio.Event = claiming,
                **options: Any,
            ) -> Share:
                claiming.set()
                return await claim(*args, **options)

            with monkeypatch.context() as patch:
                patch.setattr(one.store, "claim", announced)
                passing = asyncio.ensure_future(clock.advance(self.lease_ttl / 2))
                # What the other gave back is being claimed; at some step it has been, and nobody was told yet.
                await claiming.wait()
                await rounds(step)
                await crew.leave(one.consumer)
                await passing
            three = await self.instance(crew, "c")
            assert len(three.consumer.parts()) == 16
            await crew.leave(three.consumer)

    async def test_a_commit_that_stands_open_is_not_received_and_not_lost(
        self, crew: Crew, hold_commit: HoldCommit | None
    ) -> None:
        slow, quick = await self.instance(crew, "a"), await self.instance(crew, "b")
        seen: list[int] = []
        if hold_commit is None:
            late = asyncio.ensure_future(committed(slow.store, Unit(publish=[message(1, b"k")])))
            await committed(quick.store, Unit(publish=[message(2, b"k")]))
            seen += numbers(await crew.drain(slow.consumer, quick.consumer))
        else:
            async with hold_commit(slow.store) as held:
                late = asyncio.ensure_future(committed(slow.store, Unit(publish=[message(1, b"k")])))
                await held.reached()
                await committed(quick.store, Unit(publish=[message(2, b"k")]))
                seen += numbers(await crew.drain(slow.consumer, quick.consumer))
                assert seen == [2]
                held.release()
        await late
        seen += numbers(await crew.drain(slow.consumer, quick.consumer))
        assert sorted(seen) == [1, 2]

    async def test_many_writers_and_a_consumer_lose_and_repeat_nothing(self, crew: Crew, clock: SteeredClock) -> None:
        one = await self.instance(crew)
        writers = [await self.instance(crew, f"writer-{n}") for n in range(3)]
        seen: list[int] = []

        async def write(number: int) -> None:
            for n in range(40):
                await committed(writers[number].store, Unit(publish=[message(1000 * number + n, b"k")]))

        async def read() -> None:
            found = await one.consumer.receive(9, 0.0)
            seen.extend(numbers(found))
            await committed(one.store, Unit(settle=[delivery.token for delivery in found]))
            one.consumer.settled([delivery.token for delivery in found])

        writing = asyncio.gather(*(write(n) for n in range(3)))
        while not writing.done():
            await read()
            await rounds(1)
        await writing
        while await one.store.pending():
            await read()
            await clock.advance(0.1)
        assert sorted(seen) == sorted(1000 * number + n for number in range(3) for n in range(40))
        for number in range(3):
            ours = [n for n in seen if n // 1000 == number]
            assert ours == sorted(ours), "one instance's messages kept no order"
