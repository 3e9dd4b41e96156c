"""Live events on a NATS that goes away, and with subscribers that are too slow."""

import asyncio
import logging
from contextlib import suppress
from typing import Any

import pytest

from catga import Catga, Event
from catga.errors import TransportUnavailable
from catga.testing.servers import Nats


class Told(Event, channel="told"):
    number: int
    text: str = ""


async def until(done: Any) -> None:
    async with asyncio.timeout(20):
        while not done():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_subscriptions_come_back_with_the_server() -> None:
    with Nats() as server:
        found: list[int] = []
        app = Catga("live", bus=server.url)

        @app.subscriber(Told)
        async def hears(event: Told) -> None:
            found.append(event.number)

        async with app:
            await app.broadcast(Told(1))
            await until(lambda: found == [1])
            server.kill()
            refused = 0
            for _ in range(100):
                try:
                    await app.broadcast(Told(2, "x" * 100_000))
                except TransportUnavailable:
                    refused += 1
                await asyncio.sleep(0)
            # Two MiB are kept for the server, the rest has nowhere to go.
            assert refused >= 50
            server.start()

            async def told() -> None:
                while 3 not in found:
                    with suppress(TransportUnavailable):
                        await app.broadcast(Told(3))
                    await asyncio.sleep(0.05)

            await asyncio.wait_for(told(), 20)


async def test_who_is_too_slow_misses_events_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with Nats() as server:
        found: list[int] = []
        going = asyncio.Event()
        slow, sender = Catga("live", bus=f"{server.url}?waiting=100"), Catga("sender", bus=server.url, messages=(Told,))

        @slow.subscriber(Told)
        async def hears(event: Told) -> None:
            await going.wait()
            found.append(event.number)

        with caplog.at_level(logging.WARNING):
            async with slow, sender:
                for number in range(1000):
                    await sender.broadcast(Told(number))
                    # Each by itself: what is told in one turn of the loop travels together, and counts as one.
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                await until(lambda: slow.statistics()["live"]["missed"] >= 800)
                going.set()
                await sender.broadcast(Told(-1))
                await until(lambda: found and found[-1] == -1)
                missed = slow.statistics()["live"]["missed"]
        assert len(found) + missed == 1001
        assert found[:-1] == sorted(found[:-1])
        assert [record.name for record in caplog.records] == ["catga.nats"]
