"""Transports: order per part, windows, competing instances."""

import asyncio
import random

import pytest

from catga.ports import PARTS, Delivery, Outgoing, Sent, Settle, Settled
from catga.testing.clock import SteeredClock
from catga.testing.conformance.base import CHANNEL, message, numbers, rounds
from catga.testing.conformance.crashes import CrashConformance
from catga.testing.conformance.crew import Crew, by_part, keyed
from catga.testing.conformance.store import STEPS


class TransportConformance(CrashConformance):
    """For transports whose parts are ordered and leased; by default the own queue of what `make_store` gives."""

    # -- publish and receive ------------------------------------------------------------------------------------------

    async def test_every_message_is_answered_in_order(self, crew: Crew) -> None:
        transport = await crew.transport()
        assert list(await transport.publish([])) == []
        assert list(await transport.publish([message(n, part=n % 3) for n in range(9)])) == [Sent.ACCEPTED] * 9

    async def test_opening_twice_is_no_mistake(self, crew: Crew) -> None:
        transport = await crew.transport()
        await transport.open()
        await transport.publish([message(1)])
        await transport.close()
        await transport.publish([message(2)])

    async def test_what_was_published_is_received(self, crew: Crew) -> None:
        transport = await crew.transport()
        consumer = await crew.join("a", transport)
        frame = bytes(range(256)) * min(5000, transport.capabilities.max_bytes // 256 - 1)
        await transport.publish([Outgoing(b"i" * 16, CHANNEL, 5, b"k", 4, 0, frame)])
        (delivery,) = await consumer.receive(10, 0.0)
        assert (delivery.frame, delivery.part, delivery.inherited) == (frame, 5, False)
        assert delivery.lease == consumer.lease_of(5)

    async def test_order_is_kept_per_part(self, crew: Crew) -> None:
        transport = await crew.transport()
        consumer = await crew.join("a", transport)
        for start in range(0, 300, 30):
            await transport.publish([keyed(n, n % 5, priority=n % 8) for n in range(start, start + 30)])
        found = by_part(await crew.drain(consumer, most=50))
        assert found == {part: list(range(part, 300, 5)) for part in range(5)}

    async def test_channels_do_not_meet(self, crew: Crew) -> None:
        transport = await crew.transport()
        here, there = await crew.join("a", transport), await crew.join("a", transport, "other")
        await transport.publish([message(1), message(2, channel="other")])
        assert numbers(await crew.drain(here)) == [1]
        assert numbers(await crew.drain(there)) == [2]

    @pytest.mark.parametrize("most", [1, 2, 7, 16, 40])
    async def test_never_more_than_asked_for(self, crew: Crew, most: int) -> None:
        transport = await crew.transport()
        consumer = await crew.join("a", transport)
        await transport.publish([message(n, part=n % PARTS, priority=n % 8) for n in range(160)])
        seen: list[int] = []
        while found := await consumer.receive(most, 0.0):
            assert len(found) <= most
            seen += numbers(found)
        assert sorted(seen) == list(range(160))

    async def test_no_part_waits_for_the_others(self, crew: Crew) -> None:
        transport = await crew.transport()
        consumer = await crew.join("a", transport)
        await transport.publish([keyed(n, n % PARTS) for n in range(PARTS * 50)])
        seen: set[int] = set()
        for _ in range(PARTS * 4):
            seen |= {delivery.part for delivery in await consumer.receive(1, 0.0)}
        assert seen == set(range(PARTS))

    async def test_an_empty_wait_ends_in_time(self, crew: Crew, clock: SteeredClock) -> None:
        consumer = await crew.join("a")
        before = clock.monotonic()
        assert list(await clock.run(consumer.receive(10, 2.0))) == []
        assert clock.monotonic() - before == pytest.approx(2.0, abs=0.2)

    async def test_a_message_ends_the_wait(self, crew: Crew, clock: SteeredClock) -> None:
        transport, other = await crew.transport(), await crew.transport()
        consumer = await crew.join("a", transport)
        for n, publisher in enumerate((transport, other)):
            before = clock.monotonic()
            waiting = asyncio.ensure_future(consumer.receive(10, 60.0))
            await clock.settle()
            assert not waiting.done()
            await publisher.publish([message(n)])
            assert numbers(await clock.run(waiting)) == [n]
            assert clock.monotonic() - before < 1.0

    async def test_a_cancelled_wait_loses_nothing(self, crew: Crew) -> None:
        transport = await crew.transport()
        consumer = await crew.join("a", transport)
        for step in STEPS:
            waiting = asyncio.ensure_future(consumer.receive(10, 60.0))
            await rounds(step)
            waiting.cancel()
            await asyncio.wait([waiting])
        await transport.publish([keyed(n) for n in range(10)])
        assert numbers(await crew.drain(consumer)) == list(range(10))

    # -- first --------------------------------------------------------------------------------------------------------

    async def test_first_is_only_what_was_never_handed_out(self, crew: Crew) -> None:
        transport = await crew.transport()
        await transport.publish([keyed(n, n % 3) for n in range(9)])
        first = await crew.join("a", transport)
        # Whoever held the part before may have had them.
        assert not any(delivery.first for delivery in await crew.drain(first))
        await transport.publish([keyed(n, n % 3) for n in range(9, 18)])
        found = await crew.drain(first)
        assert numbers(found) != []
        released = [delivery.token for delivery in found[:3]]
        await first.settle([(token, Settle.RELEASE) for token in released])
        again = [delivery for delivery in await crew.drain(first) if delivery.token in released]
        assert len(again) == 3
        assert not any(delivery.first for delivery in again)
        first.rewind()
        await transport.publish([keyed(n, n % 3) for n in range(18, 21)])
        for delivery in await crew.drain(first):
            assert not (delivery.first and int(delivery.frame) < 18)
        await transport.publish([keyed(n, n % 3) for n in range(21, 24)])
        await crew.leave(first)
        second = await crew.join("b")
        assert not any(delivery.first for delivery in await crew.drain(second))

    # -- urgent -------------------------------------------------------------------------------------------------------

    async def test_urgent_messages_without_a_key_go_first(self, crew: Crew) -> None:
        transport = await crew.transport()
        consumer = await crew.join("a", transport)
        await transport.publish([message(n) for n in range(40)])
        await transport.publish([message(40, priority=3), message(41, priority=0), message(42, priority=0)])
        found = numbers(await crew.drain(consumer, most=200))
        assert found[:3] == ([41, 42, 40] if self.ranked else [40, 41, 42])
        assert sorted(found) == list(range(43))
        assert [n for n in found if n < 40] == list(range(40))

    async def test_a_key_keeps_its_order_whatever_its_priority(self, crew: Crew) -> None:
        transport = await crew.transport()
        consumer = await crew.join("a", transport)
        await transport.publish([keyed(n, priority=7 - n % 8) for n in range(40)])
        assert numbers(await crew.drain(consumer)) == list(range(40))

    async def test_urgent_messages_come_once_however_they_are_read(self, crew: Crew) -> None:
        transport = await crew.transport()
        consumer = await crew.join("a", transport)
        chance = random.Random(3)  # noqa: S311
        seen: list[int] = []
        for start in range(0, 400, 20):
            await transport.publish([message(n, priority=chance.randrange(8)) for n in range(start, start + 20)])
            found = await consumer.receive(chance.randrange(1, 60), 0.0)
            seen += numbers(found)
            await consumer.settle([(delivery.token, Settle.DONE) for delivery in found])
        while found := await consumer.receive(50, 0.0):
            seen += numbers(found)
            await consumer.settle([(delivery.token, Settle.DONE) for delivery in found])
        assert sorted(seen) == list(range(400))

    # -- settle -------------------------------------------------------------------------------------------------------

    async def test_what_is_done_is_not_received_again(self, crew: Crew) -> None:
        transport = await crew.transport()
        consumer = await crew.join("a", transport)
        await transport.publish([keyed(n) for n in range(4)])
        found = await crew.drain(consumer)
        outcomes = await consumer.settle([(found[0].token, Settle.DONE), (found[2].token, Settle.REJECT)])
        assert list(outcomes) == [Settled.OK, Settled.OK]
        await crew.leave(consumer)
        assert numbers(await crew.drain(await crew.join("b"))) == ([1, 2, 3] if self.log else [1, 3])

    async def test_settling_twice_changes_nothing(self, crew: Crew) -> None:
        transport = await crew.transport()
        consumer = await crew.join("a", transport)
        await transport.publish([keyed(n) for n in range(4)])
        found = await crew.drain(consumer)
        for _ in range(3):
            outcomes = await consumer.settle([(found[0].token, Settle.DONE), (found[1].token, Settle.DONE)])
            assert len(outcomes) == 2
            assert Settled.UNKNOWN not in outcomes
        assert list(await consumer.settle([])) == []
        consumer.rewind()
        assert numbers(await crew.drain(consumer)) == [2, 3]

    @pytest.mark.parametrize("priority", [4, 0])
    async def test_what_is_released_is_received_again(self, crew: Crew, priority: int) -> None:
        transport = await crew.transport()
        consumer = await crew.join("a", transport)
        await transport.publish([message(n, priority=priority) for n in range(6)])
        found = {int(delivery.frame): delivery for delivery in await crew.drain(consumer)}
        assert sorted(found) == list(range(6))
        items = [(found[n].token, Settle.RELEASE if n in (1, 4) else Settle.DONE) for n in (1, 2, 3, 4)]
        assert list(await consumer.settle(items)) == [Settled.OK] * 4
        again = await crew.drain(consumer)
        assert numbers(again) == [1, 4]
        assert numbers(await crew.drain(consumer)) == []

    async def test_an_urgent_message_far_behind_can_be_released(self, crew: Crew) -> None:
        transport = await crew.transport()
        consumer = await crew.join("a", transport)
        await transport.publish([message(n) for n in range(100)])
        await transport.publish([message(100, priority=0), message(101, priority=1)])
        found = await consumer.receive(PARTS * 4, 0.0)
        assert numbers(found)[:2] == [100, 101]
        assert len(found) < 100
        assert list(await consumer.settle([(found[0].token, Settle.RELEASE)])) == [Settled.OK]
        again = numbers(await crew.drain(consumer))
        assert again[0] == 100
        assert sorted(again + numbers(found[1:])) == list(range(102))

    async def test_rewind_gives_all_that_is_out_again_in_order(self, crew: Crew) -> None:
        transport = await crew.transport()
        consumer = await crew.join("a", transport)
        await transport.publish([keyed(n, n % 3) for n in range(30)])
        found = await crew.drain(consumer)
        await consumer.settle([(delivery.token, Settle.DONE) for delivery in found if int(delivery.frame) % 5 == 0])
        consumer.rewind()
        again = await crew.drain(consumer)
        assert by_part(again) == {part: [n for n in range(part, 30, 3) if n % 5] for part in range(3)}

    async def test_order_survives_any_mixture(self, crew: Crew) -> None:
        for seed in range(8):
            chance = random.Random(seed)  # noqa: S311
            transport = await crew.transport()
            consumer = await crew.join(f"owner-{seed}", transport)
            done: dict[int, list[int]] = {}
            waiting: dict[int, list[Delivery]] = {}
            published = 0
            for step in range(80):
                action = chance.randrange(10) if step < 60 else 9
                if action < 3:
                    count = chance.randrange(1, 30)
                    fresh = range(published, published + count)
                    await transport.publish([keyed(n, n % 4, turn=seed) for n in fresh])
                    published += count
                elif action == 3:
                    consumer.rewind()
                    waiting.clear()
                elif action < 7 or not waiting:
                    for delivery in await consumer.receive(chance.randrange(1, 60), 0.0):
                        waiting.setdefault(delivery.part, []).append(delivery)
                else:
                    for part, deliveries in list(waiting.items()):
                        count = chance.randrange(len(deliveries) + 1) if step < 60 else len(deliveries)
                        ended, waiting[part] = deliveries[:count], deliveries[count:]
                        done.setdefault(part, []).extend(numbers(ended))
                        await consumer.settle([(delivery.token, Settle.DONE) for delivery in ended])
            for delivery in await crew.drain(consumer):
                waiting.setdefault(delivery.part, []).append(delivery)
            for part, deliveries in waiting.items():
                done.setdefault(part, []).extend(numbers(deliveries))
                await consumer.settle([(delivery.token, Settle.DONE) for delivery in deliveries])
            assert done == {part: list(range(part, published, 4)) for part in range(4) if part < published}
            await crew.leave(consumer)

    # -- window -------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("priority", [4, 0])
    async def test_a_part_has_no_more_out_than_its_window(self, crew: Crew, priority: int) -> None:
        transport = await crew.transport()
        consumer = await crew.join("a", transport)
        total = self.window * 3
        await transport.publish([message(n, part=2, priority=priority) for n in range(total)])
        assert not consumer.congested()
        out: list[Delivery] = []
        seen: list[int] = []
        while len(seen) < total:
            found = await crew.drain(consumer, most=64)
            out += found
            seen += numbers(found)
            assert len(out) <= self.window
            if len(seen) < total:
                assert consumer.congested()
            ended, out = out[:50], out[50:]
            await consumer.settle([(delivery.token, Settle.DONE) for delivery in ended])
            assert not consumer.congested()
        assert sorted(seen) == list(range(total))

    async def test_a_full_part_holds_up_no_other(self, crew: Crew) -> None:
        transport = await crew.transport()
        consumer = await crew.join("a", transport)
        await transport.publish([keyed(n, 1) for n in range(self.window * 2)])
        await crew.drain(consumer)
        await transport.publish([keyed(7777, 2)])
        assert numbers(await crew.drain(consumer)) == [7777]

    async def test_room_in_a_full_part_ends_the_wait(self, crew: Crew, clock: SteeredClock) -> None:
        transport = await crew.transport()
        consumer = await crew.join("a", transport)
        await transport.publish([keyed(n) for n in range(self.window * 2)])
        found = await crew.drain(consumer)
        before = clock.monotonic()
        waiting = asyncio.ensure_future(consumer.receive(10, 60.0))
        await clock.settle()
        await consumer.settle([(found[0].token, Settle.DONE)])
        assert numbers(await clock.run(waiting)) == [self.window]
        assert clock.monotonic() - before < 1.0

    # -- competing ----------------------------------------------------------------------------------------------------

    async def test_competing_instances_share_and_hold_nothing_twice(self, crew: Crew, clock: SteeredClock) -> None:
        transport = await crew.transport()
        await transport.publish([keyed(n, n % PARTS) for n in range(320)])
        consumers = [await crew.join(name) for name in "abc"]
        out: list[dict[object, Delivery]] = [{}, {}, {}]
        done: dict[int, list[int]] = {}
        for turn in range(60):
            for consumer, held in zip(consumers, out, strict=True):
                for delivery in await consumer.receive(16, 0.0):
                    held[delivery.token] = delivery
                tokens = [token for each in out for token in each]
                assert len(tokens) == len(set(tokens))
                # Half of them leave at once, the others stay out over a renewal.
                for delivery in list(held.values())[:: 1 + turn % 2]:
                    (outcome,) = await consumer.settle([(delivery.token, Settle.DONE)])
                    assert outcome is Settled.OK
                    done.setdefault(delivery.part, []).append(int(delivery.frame))
                    del held[delivery.token]
            if turn % 4 == 3:
                await clock.advance(self.lease_ttl / 3)
        assert {part: sorted(found) for part, found in done.items()} == {
            part: list(range(part, 320, PARTS)) for part in range(PARTS)
        }
        parts = [part for consumer in consumers for part in consumer.parts()]
        assert sorted(parts) == list(range(PARTS))
        assert sorted(len(consumer.parts()) for consumer in consumers) == [5, 5, 6]

    async def test_who_stops_receives_no_more_and_gives_its_parts_back(self, crew: Crew, clock: SteeredClock) -> None:
        transport = await crew.transport()
        first = await crew.join("a", transport)
        await transport.publish([keyed(n, n % 4) for n in range(12)])
        found = await crew.drain(first)
        await first.settle([(delivery.token, Settle.DONE) for delivery in found[:2]])
        await crew.leave(first)
        assert list(await first.receive(10, 60.0)) == []
        assert list(first.parts()) == []
        second = await crew.join("b")
        again = await crew.drain(second)
        gone = set(numbers(found[:2]))
        assert by_part(again) == {part: [n for n in range(part, 12, 4) if n not in gone] for part in range(4)}

    async def test_stop_ends_a_wait(self, crew: Crew, clock: SteeredClock) -> None:
        consumer = await crew.join("a")
        waiting = asyncio.ensure_future(consumer.receive(10, 60.0))
        await clock.settle()
        before = clock.monotonic()
        await crew.leave(consumer)
        assert list(await clock.run(waiting)) == []
        assert clock.monotonic() - before < 1.0
