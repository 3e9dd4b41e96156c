"""Live events: heard by whoever subscribes now, at most once."""

import asyncio
import logging
import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from catga import Catga, Command, Context, Event, Headers, Signing, Transaction, Wire
from catga.backends.memory import MemoryBus
from catga.backends.memory.bus import MOST
from catga.errors import BadSignature, ConfigurationError, NoBus, TooLarge
from catga.ports.bus import Topic
from catga.testing import run


class PriceChanged(Event, channel="prices"):
    sku: str
    cents: int


class Reprice(Command[None], channel="prices"):
    sku: str


def bus() -> str:
    return f"memory://{uuid.uuid4().hex}"


async def until(done: Any) -> None:
    async with asyncio.timeout(5):
        while not done():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


def test_every_instance_hears_and_one_of_a_group() -> None:
    url = bus()
    heard: list[tuple[str, str, int]] = []

    def instance(name: str) -> Catga:
        app = Catga("shop", bus=url)

        @app.subscriber(PriceChanged)
        async def each(event: PriceChanged) -> None:
            heard.append((name, "each", event.cents))

        @app.subscriber(PriceChanged, group="audit")
        async def one(event: PriceChanged) -> None:
            heard.append((name, "one", event.cents))

        return app

    async def main() -> None:
        async with instance("a"), instance("b"), Catga("sender", bus=url, messages=(PriceChanged,)) as sender:
            for cents in range(4):
                await sender.broadcast(PriceChanged("x", cents))
            await until(lambda: len(heard) == 12)

    run(main())
    for name in "ab":
        assert [cents for who, what, cents in heard if (who, what) == (name, "each")] == [0, 1, 2, 3]
    assert sorted(cents for _, what, cents in heard if what == "one") == [0, 1, 2, 3]


def test_a_subscriber_knows_who_told_it_and_what_it_sends_follows() -> None:
    found: list[tuple[str | None, str]] = []
    app = Catga("shop", bus=bus(), store="memory://")

    @app.subscriber(PriceChanged)
    async def changed(event: PriceChanged, ctx: Context) -> None:
        found.append((ctx.tenant, ctx.correlation_id))
        ctx.enqueue(Reprice(event.sku))

    @app.handler(Reprice)
    async def reprice(cmd: Reprice, ctx: Context) -> None:
        found.append((ctx.tenant, ctx.correlation_id))

    async def main() -> None:
        async with app:
            await app.broadcast(PriceChanged("x", 1), headers=Headers(tenant="ann", correlation_id="c1"))
            await until(lambda: len(found) == 2)
            await app.settled()
            assert app.statistics()["live"] == {"heard": 1, "failed": 0, "refused": {}, "missed": 0}

    run(main())
    assert found == [("ann", "c1"), ("ann", "c1")]


def test_what_is_published_is_not_heard_live_and_the_other_way_round() -> None:
    found: list[str] = []
    app = Catga("shop", bus=bus(), store="memory://")

    @app.subscriber(PriceChanged)
    async def live(event: PriceChanged) -> None:
        found.append(f"live {event.cents}")

    @app.handler(PriceChanged)
    async def durable(event: PriceChanged) -> None:
        found.append(f"durable {event.cents}")

    async def main() -> None:
        async with app:
            await app.publish(PriceChanged("x", 1))
            await app.broadcast(PriceChanged("x", 2))
            await until(lambda: len(found) == 2)
            await app.settled()

    run(main())
    assert sorted(found) == ["durable 1", "live 2"]


def test_one_that_fails_silences_nobody_and_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    found: list[int] = []
    app = Catga("shop", bus=bus())

    @app.subscriber(PriceChanged, id="first")
    async def fails(event: PriceChanged) -> None:
        raise LookupError(event.sku)

    @app.subscriber(PriceChanged, id="second")
    async def hears(event: PriceChanged) -> None:
        found.append(event.cents)

    async def main() -> None:
        async with app:
            for cents in range(100):
                await app.broadcast(PriceChanged("x", cents))
            await until(lambda: len(found) == 100)
            assert app.statistics()["live"]["failed"] == 100

    with caplog.at_level(logging.WARNING):
        run(main())
    assert found == list(range(100))
    assert len(caplog.records) == 1


def test_what_cannot_be_read_or_trusted_is_counted_and_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    url, found = bus(), []
    app = Catga("shop", bus=url, wire=Wire(signing=Signing(keys={"k": b"k" * 32}, sign="k")))

    @app.subscriber(PriceChanged)
    async def hears(event: PriceChanged) -> None:
        found.append(event.cents)

    async def main() -> None:
        stranger = MemoryBus(url.removeprefix("memory://"))
        await stranger.open()
        async with app, Catga("sender", bus=url, messages=(PriceChanged,)) as forger:
            for cents in range(50):
                await forger.broadcast(PriceChanged("x", cents))
                await stranger.tell(Topic("prices", "PriceChanged"), b"no frame at all")
            await app.broadcast(PriceChanged("x", 1))
            await until(lambda: found)
            refused = app.statistics()["live"]["refused"]
            assert sum(refused.values()) == 100
            assert refused[BadSignature.code] >= 50
        await stranger.close()

    with caplog.at_level(logging.WARNING):
        run(main())
    assert found == [1]
    assert len(caplog.records) == len({record.getMessage() for record in caplog.records}) <= 2


def test_a_passed_deadline_is_not_handled() -> None:
    found: list[int] = []
    app = Catga("shop", bus=bus())

    @app.subscriber(PriceChanged)
    async def hears(event: PriceChanged) -> None:
        found.append(event.cents)
        await asyncio.sleep(0.05)

    async def main() -> None:
        async with app:
            await app.broadcast(PriceChanged("x", 1))
            await app.broadcast(PriceChanged("x", 2), headers=Headers(within=0.01))
            await app.broadcast(PriceChanged("x", 3))
            await until(lambda: len(found) == 2)
            assert app.statistics()["live"]["failed"] == 1

    asyncio.run(main())
    assert found == [1, 3]


def test_what_is_heard_by_the_end_is_handled() -> None:
    found: list[int] = []
    app = Catga("shop", bus=bus())

    @app.subscriber(PriceChanged)
    async def hears(event: PriceChanged) -> None:
        await asyncio.sleep(0)
        found.append(event.cents)

    async def main() -> None:
        async with app:
            for cents in range(50):
                await app.broadcast(PriceChanged("x", cents))

    run(main())
    assert found == list(range(50))


def test_without_work_it_tells_and_does_not_listen() -> None:
    found: list[int] = []
    app = Catga("shop", bus=bus())

    @app.subscriber(PriceChanged)
    async def hears(event: PriceChanged) -> None:
        found.append(event.cents)

    async def main() -> None:
        await app.start(work=False)
        await app.broadcast(PriceChanged("x", 1))
        await app.stop()

    run(main())
    assert found == []


def test_what_is_too_large_for_the_bus_is_told_to_the_sender() -> None:
    async def main() -> None:
        async with Catga("shop", bus=bus(), messages=(PriceChanged,)) as app:
            with pytest.raises(TooLarge):
                await app.broadcast(PriceChanged("x" * 20_000_000, 1))

    run(main())


def test_mistakes_are_found_at_the_start() -> None:
    app = Catga("shop", store="memory://")

    @app.subscriber(PriceChanged, id="a")
    async def alone(event: PriceChanged) -> None: ...

    @app.subscriber(Reprice, id="b")  # type: ignore[type-var]
    async def command(event: Reprice) -> None: ...

    with pytest.raises(ConfigurationError) as caught:
        run(app.start())
    assert "no bus" in str(caught.value)
    assert "is no event" in str(caught.value)

    writing = Catga("shop", store="sqlite:///:memory:", bus=bus())

    @writing.subscriber(PriceChanged)
    async def writes(event: PriceChanged, tx: Transaction) -> None: ...

    with pytest.raises(ConfigurationError, match="at most once"):
        run(writing.start())


def test_telling_without_a_bus_is_an_error() -> None:
    async def main() -> None:
        async with Catga("shop") as app:
            with pytest.raises(NoBus, match="CTG-2011"):
                await app.broadcast(PriceChanged("x", 1))

    run(main())


def test_who_is_too_slow_misses_events() -> None:
    async def main() -> None:
        fast, found, going = MemoryBus(""), [], asyncio.Event()
        await fast.open()

        async def hear(frames: Sequence[bytes]) -> None:
            await going.wait()
            found.extend(frames)

        await fast.listen(Topic("a", "b"), None, hear)
        for _ in range(MOST + 10):
            await fast.tell(Topic("a", "b"), b"x")
        assert fast.missed() == 10
        going.set()
        await fast.close()
        assert len(found) == MOST

    run(main())
