"""What a crash leaves behind: taken over, known and counted."""

import asyncio

from catga.ports import Consumer, Delivery, Settle, Settled
from catga.testing.clock import SteeredClock
from catga.testing.conformance.base import message, numbers
from catga.testing.conformance.crew import Crew, CrewConformance, by_part, keyed


class CrashConformance(CrewConformance):
    """Instances end without a word; part of `TransportConformance`."""

    async def test_after_a_crash_another_takes_over(self, crew: Crew, clock: SteeredClock) -> None:
        transport = await crew.transport()
        await transport.publish([keyed(n, n % 2) for n in range(20)])
        first = await crew.join("a", transport)
        found = await crew.drain(first)
        await first.settle([(delivery.token, Settle.DONE) for delivery in found if int(delivery.frame) < 6])
        await crew.crash(first)
        crashed = clock.monotonic()
        second = await crew.join("b")
        assert numbers(await crew.drain(second)) == []
        waiting = asyncio.ensure_future(second.receive(100, 600.0))
        again = [*await clock.run(waiting), *await crew.drain(second)]
        for part, came in by_part(again).items():
            left = list(range(6 + part, 20, 2))
            assert came == (list(range(came[0], 20, 2)) if self.log else left)
            assert came[-len(left) :] == left
        assert clock.monotonic() < crashed + self.lease_ttl * 2
        # The dead one wakes up and finds that nothing is its own any more.
        late = [delivery for delivery in found if int(delivery.frame) >= 6]
        assert set(await first.settle([(delivery.token, Settle.DONE) for delivery in late])) == {Settled.STALE}
        second.rewind()
        assert len(await crew.drain(second)) == len(again)

    async def test_whose_lease_has_run_out_receives_nothing(self, crew: Crew, clock: SteeredClock) -> None:
        transport = await crew.transport()
        first = await crew.join("a", transport)
        await crew.crash(first)
        await transport.publish([keyed(1)])
        await clock.advance(self.lease_ttl * 1.5)
        assert list(first.parts()) == []
        assert list(await first.receive(10, 0.0)) == []

    async def test_what_was_there_before_a_claim_is_known_from_what_came_after(
        self, crew: Crew, clock: SteeredClock
    ) -> None:
        transport = await crew.transport()
        await transport.publish([keyed(n) for n in range(self.window + 40)])
        await transport.publish([message(9999, priority=0)])
        first = await crew.join("a", transport)
        assert all(delivery.inherited and not delivery.first for delivery in await crew.drain(first))
        await crew.crash(first)
        await transport.publish([keyed(5000)])
        await clock.advance(self.lease_ttl * 1.5)
        second = await crew.join("b")
        await transport.publish([keyed(6000), message(6001, priority=1)])
        found = await self.take_all(second)
        assert sorted(numbers(found)) == [*range(self.window + 40), 5000, 6000, 6001, 9999]
        assert {int(delivery.frame) for delivery in found if not delivery.inherited} == {6000, 6001}
        assert all(delivery.lease is not None and delivery.lease.crashes == 1 for delivery in found)

    async def test_what_is_left_of_before_is_known(self, crew: Crew, clock: SteeredClock) -> None:
        transport = await crew.transport()
        await transport.publish([keyed(n) for n in range(3)])
        first = await crew.join("a", transport)
        assert first.left(0, [])
        found = list(await crew.drain(first))
        # Read to its end; what is left is what has not ended.
        assert not first.left(0, [])
        tokens = [delivery.token for delivery in found]
        assert first.left(0, tokens)
        first.rewind()
        assert first.left(0, tokens)
        again = await crew.drain(first)
        await first.settle([(delivery.token, Settle.DONE) for delivery in again[:2]])
        assert first.left(0, tokens)
        assert not first.left(0, tokens[:2])
        await first.settle([(again[2].token, Settle.DONE)])
        assert not first.left(0, tokens)
        assert not first.left(1, [])

    async def test_crashes_in_a_row_are_told_with_the_lease(self, crew: Crew, clock: SteeredClock) -> None:
        transport = await crew.transport()
        await transport.publish([keyed(n) for n in range(3)])
        for crashes in range(3):
            consumer = await crew.join(f"owner-{crashes}", transport)
            found = await crew.drain(consumer)
            assert numbers(found) == [0, 1, 2]
            assert [delivery.lease.crashes for delivery in found if delivery.lease] == [crashes] * 3
            await crew.crash(consumer)
            await clock.advance(self.lease_ttl * 1.5)

    async def test_claims_alone_are_counted_through_crashes(self, crew: Crew, clock: SteeredClock) -> None:
        transport = await crew.transport()
        store = crew.store_of(transport)
        await transport.publish([keyed(n) for n in range(3)])
        for crashes in range(3):
            consumer = await crew.join(f"owner-{crashes}", transport)
            guilty, *_ = await crew.drain(consumer)
            assert guilty.lease is not None
            assert await store.alone(guilty.lease, guilty.token) == crashes
            await crew.crash(consumer)
            await clock.advance(self.lease_ttl * 1.5)
        last = await crew.join("last", transport)
        guilty, innocent, _ = await crew.drain(last)
        assert guilty.lease is not None
        assert await store.alone(guilty.lease, guilty.token) == 3
        await last.settle([(guilty.token, Settle.DONE)])
        assert await store.alone(guilty.lease, innocent.token) == 0

    async def test_giving_back_counts_as_nothing(self, crew: Crew, clock: SteeredClock) -> None:
        transport = await crew.transport()
        store = crew.store_of(transport)
        await transport.publish([keyed(1)])
        first = await crew.join("a", transport)
        (delivery,) = await crew.drain(first)
        assert delivery.lease is not None
        await store.alone(delivery.lease, delivery.token)
        await crew.leave(first)
        second = await crew.join("b", transport)
        (delivery,) = await crew.drain(second)
        assert delivery.lease is not None
        assert delivery.lease.crashes == 0
        assert await store.alone(delivery.lease, delivery.token) == 0

    async def test_work_is_fenced_by_the_lease_of_its_part(self, crew: Crew, clock: SteeredClock) -> None:
        first = await crew.join("a")
        leases = {part: first.lease_of(part) for part in first.parts()}
        assert all(lease is not None and lease.part == part for part, lease in leases.items())
        await crew.crash(first)
        await clock.advance(self.lease_ttl * 1.5)
        second = await crew.join("b")
        for part in second.parts():
            old, new = leases[part], second.lease_of(part)
            assert old is not None
            assert new is not None
            assert new.epoch > old.epoch

    async def take_all(self, consumer: Consumer) -> list[Delivery]:
        """Everything in the order received, settled as it comes."""
        seen: list[Delivery] = []
        while found := await consumer.receive(50, 0.0):
            seen += found
            await consumer.settle([(delivery.token, Settle.DONE) for delivery in found])
        return seen
