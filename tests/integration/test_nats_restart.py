"""A NATS server that is killed while it is told something."""

import asyncio
import time

from catga.backends.nats.options import NatsOptions
from catga.backends.nats.transport import NatsTransport
from catga.clock import SystemClock
from catga.ports.transport import Sent
from catga.testing.conformance.base import message
from catga.testing.servers import Nats

TIMEOUT = 20.0
"""Seconds that an answer is waited for: none comes on a connection that is lost."""


async def test_who_publishes_learns_at_once_that_the_connection_is_lost() -> None:
    with Nats(sync=True) as server:
        transport = NatsTransport(NatsOptions.parse(f"{server.url}?timeout={TIMEOUT}"), SystemClock())
        await transport.open()
        assert await transport.publish([message(1)]) == [Sent.ACCEPTED]
        # It takes what is sent, and says nothing.
        server.pause()
        publishing = asyncio.ensure_future(transport.publish([message(2), message(3)]))
        done, _ = await asyncio.wait([publishing], timeout=0.3)
        assert not done
        began = time.monotonic()
        await asyncio.to_thread(server.kill)
        outcomes = await publishing
        assert time.monotonic() - began < TIMEOUT / 4
        assert set(outcomes) <= {Sent.UNKNOWN, Sent.SKIPPED}
        assert Sent.UNKNOWN in outcomes
        await asyncio.to_thread(server.start)
        assert await transport.publish([message(2), message(3)]) == [Sent.ACCEPTED] * 2
        await transport.close()


async def test_who_is_cancelled_while_publishing_is_cancelled() -> None:
    with Nats(sync=True) as server:
        transport = NatsTransport(NatsOptions.parse(f"{server.url}?timeout={TIMEOUT}"), SystemClock())
        await transport.open()
        assert await transport.publish([message(1)]) == [Sent.ACCEPTED]
        server.pause()
        publishing = asyncio.ensure_future(transport.publish([message(2)]))
        await asyncio.wait([publishing], timeout=0.3)
        publishing.cancel()
        await asyncio.wait([publishing])
        assert publishing.cancelled()
        server.resume()
        await transport.close()
