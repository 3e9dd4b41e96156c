"""What a crash leaves behind: taken over, known, suspected and counted."""

import asyncio

from catga.ports import Consumer, Delivery, Settle, Settled, Transport
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
        second = await crew.join("b")
        assert numbers(await crew.drain(second)) == []
        waiting = asyncio.ensure_future(second.receive(100, 600.0))
        again = [*await clock.run(waiting), *await crew.drain(second)]
        assert by_part(again) == {0: list(range(6, 20, 2)), 1: list(range(7, 20, 2))}
        assert clock.monotonic() < self.lease_ttl * 2
        # The dead one wakes up and finds that nothing is its own any more.
        late = [delivery for delivery in found if int(delivery.frame) >= 6]
        assert set(await first.settle([(delivery.token, Settle.DONE) for delivery in late])) == {Settled.STALE}
        second.rewind()
        assert len(await crew.drain(second)) == 14

    async def test_whose_lease_has_run_out_receives_nothing(self, crew: Crew, clock: SteeredClock) -> None:
        transport = await crew.transport()
        first = await crew.join("a", transport)
        await crew.crash(first)
        await transport.publish([keyed(1)])
        await clock.advance(self.lease_ttl * 1.5)
        assert list(first.parts()) == []
        assert list(await first.receive(10, 0.0)) == []

    async def test_what_was_out_in_a_crash_is_known(self, crew: Crew, clock: SteeredClock) -> None:
        transport = await crew.transport()
        await transport.publish([keyed(n) for n in range(self.window + 40)])
        first = await crew.join("a", transport)
        out = numbers(await crew.drain(first))
        await crew.crash(first)
        await clock.advance(self.lease_ttl * 1.5)
        second = await crew.join("b")
        found = await self.take_all(second)
        assert numbers(found) == list(range(self.window + 40))
        assert set(out) <= {int(delivery.frame) for delivery in found if delivery.again}
        assert not any(delivery.suspect for delivery in found)

    async def test_an_urgent_message_out_in_a_crash_is_known(self, crew: Crew, clock: SteeredClock) -> None:
        transport = await crew.transport()
        await transport.publish([message(n) for n in range(self.window * 3)])
        await transport.publish([message(9999, priority=0)])
        first = await crew.join("a", transport)
        out = numbers(await first.receive(64, 0.0))
        assert out[0] == 9999
        await crew.crash(first)
        await clock.advance(self.lease_ttl * 1.5)
        found = await self.take_all(await crew.join("b"))
        assert set(out) <= {int(delivery.frame) for delivery in found if delivery.again}
        assert sorted(numbers(found)) == [*range(self.window * 3), 9999]

    async def test_after_two_crashes_in_a_row_they_are_suspects(self, crew: Crew, clock: SteeredClock) -> None:
        transport = await crew.transport()
        await transport.publish([keyed(n) for n in range(3)])
        await self.crashed(crew, clock, transport, 2)
        await transport.publish([keyed(3)])
        third = await crew.join("c")
        await transport.publish([keyed(4)])
        found = await crew.drain(third)
        assert [delivery.suspect for delivery in found[:3]] == [True] * 3
        assert not found[4].suspect
        third.rewind()
        # A suspect stays one.
        assert [delivery.suspect for delivery in await crew.drain(third)][:3] == [True] * 3

    async def test_once_they_have_ended_nobody_is_suspected(self, crew: Crew, clock: SteeredClock) -> None:
        transport = await crew.transport()
        await transport.publish([message(n, priority=n) for n in range(3)])
        await self.crashed(crew, clock, transport, 2)
        third = await crew.join("c")
        assert [delivery.suspect for delivery in await self.take_all(third)] == [True] * 3
        await clock.advance(self.lease_ttl / 2)
        await transport.publish([keyed(3)])
        assert numbers(await crew.drain(third)) == [3]
        await crew.crash(third)
        await clock.advance(self.lease_ttl * 1.5)
        (found,) = await crew.drain(await crew.join("d"))
        assert (found.again, found.suspect) == (True, False)

    async def test_while_one_has_not_ended_they_stay_suspected(self, crew: Crew, clock: SteeredClock) -> None:
        transport = await crew.transport()
        await transport.publish([keyed(n) for n in range(3)])
        await self.crashed(crew, clock, transport, 2)
        third = await crew.join("c")
        found = await crew.drain(third)
        await third.settle([(delivery.token, Settle.DONE) for delivery in found[:2]])
        await clock.advance(self.lease_ttl / 2)
        await crew.crash(third)
        await clock.advance(self.lease_ttl * 1.5)
        assert [delivery.suspect for delivery in await crew.drain(await crew.join("d"))] == [True]

    async def test_claims_alone_are_counted_through_crashes(self, crew: Crew, clock: SteeredClock) -> None:
        transport = await crew.transport()
        await transport.publish([keyed(n) for n in range(3)])
        await self.crashed(crew, clock, transport, 2)
        for crashes in range(3):
            next_one = await crew.join(f"owner-{crashes}")
            guilty, *_ = await crew.drain(next_one)
            assert guilty.suspect
            assert await next_one.alone(guilty) == crashes
            await crew.crash(next_one)
            await clock.advance(self.lease_ttl * 1.5)
        last = await crew.join("last")
        guilty, innocent, _ = await crew.drain(last)
        assert await last.alone(guilty) == 3
        await last.settle([(guilty.token, Settle.DONE)])
        assert await last.alone(innocent) == 0

    async def test_giving_back_counts_as_nothing(self, crew: Crew, clock: SteeredClock) -> None:
        transport = await crew.transport()
        await transport.publish([keyed(1)])
        first = await crew.join("a", transport)
        (delivery,) = await crew.drain(first)
        await first.alone(delivery)
        await crew.leave(first)
        second = await crew.join("b")
        (delivery,) = await crew.drain(second)
        assert await second.alone(delivery) == 0

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

    async def crashed(self, crew: Crew, clock: SteeredClock, transport: Transport, times: int) -> None:
        """So many instances take everything and end without a word."""
        for n in range(times):
            consumer = await crew.join(f"crashed-{n}", transport)
            await crew.drain(consumer)
            await crew.crash(consumer)
            await clock.advance(self.lease_ttl * 1.5)

    async def take_all(self, consumer: Consumer) -> list[Delivery]:
        """Everything in the order received, settled as it comes."""
        seen: list[Delivery] = []
        while found := await consumer.receive(50, 0.0):
            seen += found
            await consumer.settle([(delivery.token, Settle.DONE) for delivery in found])
        return seen
