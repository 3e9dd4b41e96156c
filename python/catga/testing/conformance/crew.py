"""Instances of an app that compete on one channel, as a test brings them up and down."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from catga.ports import Consumer, Delivery, Outgoing, Store, Transport
from catga.testing.clock import SteeredClock
from catga.testing.conformance.base import CHANNEL, Conformance, MakeStore, Stores, message

MakeTransport = Callable[[Store], Awaitable[Transport]]
"""The transport of an app with that store."""


class Crew:
    """Transports and consumers of one test; a consumer can be made to die without a word."""

    def __init__(self, stores: Stores, make: MakeTransport, clock: SteeredClock) -> None:
        self.stores = stores
        self.clock = clock
        self._make = make
        self._transports: list[tuple[Transport, Store]] = []
        self._tasks: dict[int, set[asyncio.Task[Any]]] = {}
        self._consumers: list[Consumer] = []

    async def transport(self) -> Transport:
        """Another instance's."""
        store = await self.stores.open()
        transport = await self._make(store)
        await transport.open()
        self._transports.append((transport, store))
        return transport

    def store_of(self, transport: Transport) -> Store:
        """The store of the app whose transport it is."""
        return next(store for each, store in self._transports if each is transport)

    async def join(self, owner: str, transport: Transport | None = None, channel: str = CHANNEL) -> Consumer:
        """Another instance's consumer."""
        transport = transport or await self.transport()
        before = asyncio.all_tasks()
        consumer = await transport.consume(channel, owner, self.store_of(transport))
        self._tasks[id(consumer)] = asyncio.all_tasks() - before
        self._consumers.append(consumer)
        return consumer

    async def crash(self, consumer: Consumer) -> None:
        """It renews nothing, gives nothing back, and is heard no more."""
        self._consumers.remove(consumer)
        for task in self._tasks[id(consumer)]:
            task.cancel()
        if self._tasks[id(consumer)]:
            await asyncio.wait(self._tasks[id(consumer)])

    async def leave(self, consumer: Consumer) -> None:
        """Stops it as an app does."""
        self._consumers.remove(consumer)
        await consumer.stop()

    async def drain(self, *consumers: Consumer, most: int = 1000) -> list[Delivery]:
        """Receives until nothing comes, without time passing."""
        found: list[Delivery] = []
        while True:
            batches = [await consumer.receive(most, 0.0) for consumer in consumers]
            if not any(batches):
                return found
            found += [delivery for batch in batches for delivery in batch]

    async def close(self) -> None:
        """Everything that is left."""
        for consumer in list(self._consumers):
            await self.leave(consumer)
        for transport, _ in reversed(self._transports):
            await transport.close()
        await self.stores.close()


def by_part(deliveries: Sequence[Delivery]) -> dict[int, list[int]]:
    """What came, per part, in order."""
    found: dict[int, list[int]] = {}
    for delivery in deliveries:
        found.setdefault(delivery.part, []).append(int(delivery.frame))
    return found


def keyed(number: int, part: int = 0, **more: Any) -> Outgoing:
    """A message of the part's key."""
    return message(number, b"key-%d" % part, part, **more)


class CrewConformance(Conformance):
    """What suites of transports share."""

    ranked = True
    """Of urgent messages, those that are more so come first; elsewhere they come in their order, before all others."""
    window = 128
    """Deliveries of one part that may be out at once."""

    @pytest.fixture
    def make_transport(self) -> MakeTransport:
        """Another instance's transport on the same data; not opened."""

        async def make(store: Store) -> Transport:
            return store.queue()

        return make

    @pytest.fixture
    def crew(self, make_store: MakeStore, make_transport: MakeTransport, clock: SteeredClock) -> Crew:
        """What tests join consumers with."""
        return Crew(Stores(make_store), make_transport, clock)
