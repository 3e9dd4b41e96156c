"""What every bus must do."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from catga.errors import AppClosed, NoAnswer
from catga.ports.bus import Bus, Reply, Topic
from catga.testing.conformance.base import Conformance, Opened

MakeBus = Callable[[], Bus]

TOPIC, OTHER = Topic("prices", "PriceChanged"), Topic("prices", "PriceGone")


class Listener:
    """Notes what it hears."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self._more = asyncio.Event()

    async def hear(self, frames: Sequence[bytes]) -> None:
        """As the port asks for."""
        await asyncio.sleep(0)
        self.frames += frames
        self._more.set()

    async def heard(self, count: int) -> list[bytes]:
        """So many, at least."""
        async with asyncio.timeout(10):
            while len(self.frames) < count:
                self._more.clear()
                await self._more.wait()
        return self.frames


class BusConformance(Conformance):
    """Each call of `make_bus` gives another app's object on the same bus."""

    @pytest.fixture
    def make_bus(self) -> MakeBus:
        """Override: a function that gives another object on the same bus."""
        raise NotImplementedError("override the fixture make_bus")

    @pytest.fixture
    def buses(self, make_bus: MakeBus) -> Opened[Bus]:
        """What tests open their buses with."""
        return Opened(make_bus)

    async def test_everybody_hears_all_in_order(self, buses: Opened[Bus]) -> None:
        sender, listeners = await buses.open(), [Listener() for _ in range(3)]
        for listener in listeners:
            await (await buses.open()).listen(TOPIC, None, listener.hear)
        frames = [bytes([number, 0, 255]) * number for number in range(200)]
        for frame in frames:
            await sender.tell(TOPIC, frame)
        for listener in listeners:
            assert await listener.heard(200) == frames
        assert sender.missed() == 0

    async def test_one_of_a_group_hears_each(self, buses: Opened[Bus]) -> None:
        sender, listeners, alone = await buses.open(), [Listener() for _ in range(3)], Listener()
        for listener in listeners:
            await (await buses.open()).listen(TOPIC, "audit", listener.hear)
        await (await buses.open()).listen(TOPIC, "other", alone.hear)
        frames = [b"%d" % number for number in range(300)]
        for frame in frames:
            await sender.tell(TOPIC, frame)
            # What is told in one turn of the loop may stay together.
            await asyncio.sleep(0.001)
        # Whoever is told after all the others proves that these have arrived.
        assert await alone.heard(300) == frames
        async with asyncio.timeout(10):
            while sum(len(listener.frames) for listener in listeners) < 300:  # noqa: ASYNC110 - three of them
                await asyncio.sleep(0.001)
        assert sorted(frame for listener in listeners for frame in listener.frames) == sorted(frames)
        assert all(listener.frames for listener in listeners)

    async def test_nothing_is_kept_and_topics_are_apart(self, buses: Opened[Bus]) -> None:
        sender, early, late = await buses.open(), Listener(), Listener()
        await sender.tell(TOPIC, b"before anybody")
        ears = await buses.open()
        await ears.listen(TOPIC, None, early.hear)
        await sender.tell(OTHER, b"of another type")
        await sender.tell(Topic("costs", TOPIC.type), b"in another channel")
        await sender.tell(TOPIC, b"now")
        assert await early.heard(1) == [b"now"]
        await ears.listen(TOPIC, None, late.hear)
        await sender.tell(TOPIC, b"then")
        assert await late.heard(1) == [b"then"]
        assert await early.heard(2) == [b"now", b"then"]

    async def test_names_may_hold_anything(self, buses: Opened[Bus]) -> None:
        bus, found = await buses.open(), Listener()
        strange = Topic("shop.* > 価格", "a b.>")
        await bus.listen(strange, "group of * one", found.hear)
        await bus.tell(Topic("shop", "a"), b"not this")
        await bus.tell(strange, b"this")
        assert await found.heard(1) == [b"this"]

    async def test_who_tells_hears_itself(self, buses: Opened[Bus]) -> None:
        bus, own = await buses.open(), Listener()
        await bus.listen(TOPIC, None, own.hear)
        await bus.tell(TOPIC, b"x")
        assert await own.heard(1) == [b"x"]

    async def test_what_was_heard_is_handled_before_the_end(self, buses: Opened[Bus], make_bus: MakeBus) -> None:
        sender, ears, listener = await buses.open(), make_bus(), Listener()
        await ears.open()
        await ears.listen(TOPIC, None, listener.hear)
        witness = Listener()
        await (await buses.open()).listen(TOPIC, None, witness.hear)
        for number in range(500):
            await sender.tell(TOPIC, b"%d" % number)
        await witness.heard(500)
        await ears.close()
        count = len(listener.frames)
        assert count == 500
        assert listener.frames == witness.frames
        await sender.tell(TOPIC, b"after the end")
        await witness.heard(501)
        assert len(listener.frames) == count

    async def test_each_question_has_one_answer(self, buses: Opened[Bus]) -> None:
        asker, asked = await buses.open(), [0, 0, 0]

        def answerer(number: int) -> Reply:
            async def reply(frame: bytes) -> bytes:
                asked[number] += 1
                await asyncio.sleep(0.001)
                return b"to " + frame

            return reply

        for number in range(3):
            await (await buses.open()).answer(TOPIC, answerer(number))
        frames = [b"%d" % number for number in range(100)]
        found = await asyncio.gather(*(asker.ask(TOPIC, frame, 10) for frame in frames))
        assert found == [b"to " + frame for frame in frames]
        assert sum(asked) == 100
        assert all(asked)

    async def test_nobody_answers(self, buses: Opened[Bus]) -> None:
        asker, ears = await buses.open(), await buses.open()
        with pytest.raises(NoAnswer):
            await asker.ask(TOPIC, b"x", 10)

        async def reply(frame: bytes) -> bytes:
            return frame

        # Who listens to a topic does not answer it.
        await ears.listen(TOPIC, None, Listener().hear)
        await ears.answer(OTHER, reply)
        with pytest.raises(NoAnswer):
            await asker.ask(TOPIC, b"x", 10)
        assert await asker.ask(OTHER, b"x", 10) == b"x"

    async def test_what_was_asked_by_the_end_is_answered(self, buses: Opened[Bus], make_bus: MakeBus) -> None:
        asker, answerer, begun = await buses.open(), make_bus(), asyncio.Event()
        await answerer.open()

        async def reply(frame: bytes) -> bytes:
            begun.set()
            await asyncio.sleep(0.05)
            return frame

        await answerer.answer(TOPIC, reply)
        asking = asyncio.ensure_future(asker.ask(TOPIC, b"x", 10))
        await begun.wait()
        await answerer.close()
        assert await asking == b"x"
        with pytest.raises(NoAnswer):
            await asker.ask(TOPIC, b"x", 10)

    async def test_an_asker_that_gives_up_disturbs_nobody(self, buses: Opened[Bus]) -> None:
        asker, ended = await buses.open(), asyncio.Event()

        async def reply(frame: bytes) -> bytes:
            if frame == b"slow":
                await asyncio.sleep(0.05)
                ended.set()
            return frame

        await (await buses.open()).answer(TOPIC, reply)
        asking = asyncio.ensure_future(asker.ask(TOPIC, b"slow", 10))
        await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        assert await asker.ask(TOPIC, b"x", 10) == b"x"
        await asyncio.wait_for(ended.wait(), 10)

    async def test_a_closed_one_says_so(self, make_bus: MakeBus) -> None:
        bus = make_bus()
        with pytest.raises(AppClosed):
            await bus.tell(TOPIC, b"x")
        await bus.open()
        await bus.close()
        await bus.close()
        with pytest.raises(AppClosed):
            await bus.tell(TOPIC, b"x")
        with pytest.raises(AppClosed):
            await bus.ask(TOPIC, b"x", 1)
