"""JetStream as a transport against the public suite, on a real server; the app's store is in memory."""

import uuid
from collections.abc import Callable

import pytest
from tests.integration.servers import server

from catga.backends.memory import MemoryOptions, MemoryStore
from catga.backends.nats import NatsOptions, NatsTransport
from catga.ports import Store, Transport
from catga.testing import SteeredClock
from catga.testing.conformance import TransportConformance
from catga.testing.conformance.crew import MakeTransport


class TestTransport(TransportConformance):
    """Each test has subjects of its own."""

    log = True
    ranked = False

    @pytest.fixture
    def make_store(self, clock: SteeredClock) -> Callable[[], MemoryStore]:
        options = MemoryOptions(name=uuid.uuid4().hex)
        return lambda: MemoryStore(options, clock)

    @pytest.fixture
    def make_transport(self, clock: SteeredClock) -> MakeTransport:
        url = f"{server('nats')}?prefix={uuid.uuid4().hex[:16]}"

        async def make(store: Store) -> Transport:
            return NatsTransport(NatsOptions.parse(url), clock)

        return make
