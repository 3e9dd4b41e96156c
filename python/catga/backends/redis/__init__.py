"""Redis and Valkey: a store, and channels in streams."""

from catga.backends.redis.options import RedisOptions
from catga.backends.redis.queue import RedisTransport
from catga.backends.redis.store import RedisStore
from catga.clock import Clock

__all__ = ["RedisOptions", "RedisStore", "RedisTransport", "store", "transport"]


def store(url: str, clock: Clock) -> RedisStore:
    """`redis://host:6379/0` (`rediss://` with TLS); options in the query: see `RedisOptions`."""
    return RedisStore(RedisOptions.parse(url), clock)


def transport(url: str, clock: Clock) -> RedisTransport:
    """The streams of such a prefix; one that is also the app's store is better left out: it has a queue of its own."""
    return RedisTransport(store(url, clock))
