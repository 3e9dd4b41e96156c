"""SQLite: an embedded store, and a queue that several processes of one machine share through it."""

from catga.backends.sqlite.blobs import SqliteBlobs
from catga.backends.sqlite.options import SqliteOptions
from catga.backends.sqlite.queue import SqliteTransport
from catga.backends.sqlite.store import SqliteStore
from catga.clock import Clock

__all__ = ["SqliteBlobs", "SqliteOptions", "SqliteStore", "SqliteTransport", "blobs", "store", "transport"]


def store(url: str, clock: Clock) -> SqliteStore:
    """`sqlite:///relative.db`, `sqlite:////absolute.db`; options in the query: see `SqliteOptions`."""
    return SqliteStore(SqliteOptions.parse(url), clock)


def transport(url: str, clock: Clock) -> SqliteTransport:
    """The queue in that file. An app whose store is the same file commits to both at once."""
    return SqliteTransport(store(url, clock))


def blobs(url: str, clock: Clock) -> SqliteBlobs:
    """A table of large payloads in that file, which must be another than the store's."""
    return SqliteBlobs(SqliteOptions.parse(url))
