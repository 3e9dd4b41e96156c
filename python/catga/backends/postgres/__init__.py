"""PostgreSQL: a store, and a queue beside it in the same database."""

from catga.backends.postgres.blobs import PostgresBlobs
from catga.backends.postgres.options import PostgresOptions
from catga.backends.postgres.queue import PostgresTransport
from catga.backends.postgres.store import PostgresStore
from catga.clock import Clock

__all__ = ["PostgresBlobs", "PostgresOptions", "PostgresStore", "PostgresTransport", "blobs", "store", "transport"]


def store(url: str, clock: Clock) -> PostgresStore:
    """`postgresql://user@host/database`; options in the query: see `PostgresOptions`."""
    return PostgresStore(PostgresOptions.parse(url), clock)


def transport(url: str, clock: Clock) -> PostgresTransport:
    """The queue in that database. An app whose store is the same database commits to both at once."""
    return store(url, clock).queue()


def blobs(url: str, clock: Clock) -> PostgresBlobs:
    """A table of large payloads in that database; it may be the store's."""
    return PostgresBlobs(PostgresOptions.parse(url))
