"""The Redis store and its streams against the public suites, on a real server."""

import uuid
from collections.abc import Callable

import pytest
from tests.integration.servers import server

from catga.backends.redis import RedisOptions, RedisStore
from catga.testing import PatientClock, SteeredClock
from catga.testing.conformance import (
    InboxConformance,
    LeasesConformance,
    OutboxConformance,
    ParkedConformance,
    QueueConformance,
    StoreConformance,
    TransportConformance,
)


@pytest.fixture
def url() -> str:
    """With a prefix of its own."""
    return f"{server('valkey')}?prefix={uuid.uuid4().hex}"


class Redis:
    """A real server under virtual time: leases run by the clock of the test."""

    log = True
    ranked = False

    @pytest.fixture
    def make_store(self, clock: SteeredClock, url: str) -> Callable[[], RedisStore]:
        return lambda: RedisStore(RedisOptions.parse(url), clock, server_time=False)


class TestStore(Redis, StoreConformance):
    pass


class TestInbox(Redis, InboxConformance):
    pass


class TestOutbox(Redis, OutboxConformance):
    pass


class TestLeases(Redis, LeasesConformance):
    pass


class TestLeasesOfTheServer(Redis, LeasesConformance):
    """Time really passes: they run by the server's clock. A few are enough."""

    lease_ttl = 1.5
    test_an_epoch_is_never_given_twice = None
    test_crashes_in_a_row_are_counted = None
    test_clearing_ends_the_row = None
    test_giving_back_ends_the_row = None

    @pytest.fixture
    def clock(self) -> PatientClock:
        return PatientClock()

    @pytest.fixture
    def make_store(self, clock: SteeredClock, url: str) -> Callable[[], RedisStore]:
        return lambda: RedisStore(RedisOptions.parse(url), clock)


class TestParked(Redis, ParkedConformance):
    pass


class TestTransport(Redis, TransportConformance):
    pass


class TestQueue(Redis, QueueConformance):
    pass
