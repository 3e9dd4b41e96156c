"""What every store and transport must do, as test classes to inherit. They need pytest.

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def make_store(self, clock, tmp_path):
            return lambda: MyStore(f"mine://{tmp_path}", clock)

Each call of `make_store` gives another store object on the same data, as another instance of the app would have.
"""

from catga.testing.conformance.base import Conformance, Held, Stores
from catga.testing.conformance.blobs import BlobsConformance
from catga.testing.conformance.bus import BusConformance
from catga.testing.conformance.inbox import InboxConformance
from catga.testing.conformance.leases import LeasesConformance
from catga.testing.conformance.outbox import OutboxConformance
from catga.testing.conformance.parked import ParkedConformance
from catga.testing.conformance.queue import QueueConformance
from catga.testing.conformance.sql import SqlStoreConformance
from catga.testing.conformance.store import StoreConformance
from catga.testing.conformance.transport import TransportConformance

__all__ = [
    "BlobsConformance",
    "BusConformance",
    "Conformance",
    "Held",
    "InboxConformance",
    "LeasesConformance",
    "OutboxConformance",
    "ParkedConformance",
    "QueueConformance",
    "SqlStoreConformance",
    "StoreConformance",
    "Stores",
    "TransportConformance",
]
