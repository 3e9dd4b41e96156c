"""Memory and NATS as a bus, against the public suite."""

import uuid

import pytest
from tests.integration.servers import server

from catga.backends import open_backend
from catga.clock import SystemClock
from catga.testing.conformance import BusConformance
from catga.testing.conformance.bus import MakeBus


class TestMemory(BusConformance):
    """Of one process."""

    @pytest.fixture
    def make_bus(self) -> MakeBus:
        url = f"memory://{uuid.uuid4().hex}"
        return lambda: open_backend("bus", url, SystemClock())  # type: ignore[no-any-return]


class TestNats(BusConformance):
    """Each test has subjects of its own."""

    @pytest.fixture
    def make_bus(self) -> MakeBus:
        url = f"{server('nats')}?prefix={uuid.uuid4().hex[:16]}"
        return lambda: open_backend("bus", url, SystemClock())  # type: ignore[no-any-return]
