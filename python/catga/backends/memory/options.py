"""What a `memory://` URL may say."""

from urllib.parse import urlsplit

import msgspec

from catga.errors import ConfigurationError
from catga.ports.options import Positive, Seconds, from_query


class MemoryOptions(msgspec.Struct, frozen=True):
    """`lease` is how many seconds a part stays with an instance that says nothing, `capacity` how many messages may
    wait (queued, in the outbox, parked) before commits are refused with `StoreFull`."""

    name: str = ""
    lease: Seconds = 10.0
    capacity: Positive = 1_000_000

    @classmethod
    def parse(cls, url: str) -> "MemoryOptions":
        """From a URL; every unknown or wrong option is named."""
        parts = urlsplit(url)
        if parts.path.strip("/"):
            raise ConfigurationError(f"{url!r} names a path", fix="write memory:// or memory://name")
        return from_query(cls, url, parts.query, name=parts.netloc)
