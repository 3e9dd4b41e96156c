"""What a `memory://` URL may say."""

from urllib.parse import parse_qsl, urlsplit

import msgspec

from catga.errors import ConfigurationError


class MemoryOptions(msgspec.Struct, frozen=True):
    """`lease` is how many seconds a part stays with an instance that says nothing, `capacity` how many messages may
    wait (queued, in the outbox, parked) before commits are refused with `StoreFull`."""

    name: str = ""
    lease: float = 10.0
    capacity: int = 1_000_000

    @classmethod
    def parse(cls, url: str) -> "MemoryOptions":
        """From a URL; every unknown or wrong option is named."""
        parts = urlsplit(url)
        known = ", ".join(cls.__struct_fields__[1:])
        if parts.path.strip("/"):
            raise ConfigurationError(f"{url!r} names a path", fix="write memory:// or memory://name")
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        if unknown := given.keys() - set(cls.__struct_fields__[1:]):
            raise ConfigurationError(
                f"unknown memory option: {', '.join(sorted(unknown))}", where=url, fix=f"known are: {known}"
            )
        try:
            found = msgspec.convert({**given, "name": parts.netloc}, cls, strict=False)
        except msgspec.ValidationError as error:
            raise ConfigurationError(
                f"{url!r} has a wrong option", why=str(error), fix=f"known are: {known}"
            ) from error
        if not (found.lease > 0 and found.capacity > 0):
            raise ConfigurationError(f"{url!r} has a wrong option", why="lease and capacity must be above 0")
        return found
