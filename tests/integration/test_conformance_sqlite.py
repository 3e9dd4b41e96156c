"""The SQLite store against the public suites."""

from collections.abc import Callable
from pathlib import Path

import pytest

from catga.backends.sqlite import SqliteOptions, SqliteStore
from catga.testing import VirtualClock
from catga.testing.conformance import (
    InboxConformance,
    LeasesConformance,
    OutboxConformance,
    ParkedConformance,
    QueueConformance,
    SqlStoreConformance,
    StoreConformance,
    TransportConformance,
)


class Sqlite:
    """Each store object has connections and locks of its own, as each process has."""

    synchronous = "NORMAL"

    @pytest.fixture
    def make_store(self, clock: VirtualClock, tmp_path: Path) -> Callable[[], SqliteStore]:
        url = f"sqlite:///{tmp_path}/catga.db?synchronous={self.synchronous}"
        return lambda: SqliteStore(SqliteOptions.parse(url), clock)


class TestStore(Sqlite, StoreConformance):
    pass


class TestStoreFull(Sqlite, StoreConformance):
    synchronous = "FULL"


class TestInbox(Sqlite, InboxConformance):
    pass


class TestOutbox(Sqlite, OutboxConformance):
    pass


class TestLeases(Sqlite, LeasesConformance):
    pass


class TestParked(Sqlite, ParkedConformance):
    pass


class TestTransport(Sqlite, TransportConformance):
    pass


class TestQueue(Sqlite, QueueConformance):
    pass


class TestQueueFull(Sqlite, QueueConformance):
    synchronous = "FULL"


class TestSql(Sqlite, SqlStoreConformance):
    pass


class TestSqlFull(Sqlite, SqlStoreConformance):
    synchronous = "FULL"
