"""What a `nats://` URL may say."""

import re
from typing import Annotated
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from catga.errors import ConfigurationError
from catga.ports.options import Seconds, from_query

_TOKEN = re.compile(r"[A-Za-z0-9_]{1,32}")
Waiting = Annotated[int, msgspec.Meta(ge=1)]
Replicas = Annotated[int, msgspec.Meta(ge=1, le=5)]


class NatsOptions(msgspec.Struct, frozen=True):
    """`prefix` begins the names of Catga's streams and subjects. `replicas` is how many servers keep each message, `keep` for
    how many seconds at most. `lease`, `idle` and `timeout` are seconds: `idle` between looks for what came without the word
    of its publisher, `timeout` how long the server may take for an answer. `waiting` is how many
    lists of live events (what was told in one turn of a loop) may wait for one subscriber; more are dropped."""

    server: str
    prefix: str = "catga"
    replicas: Replicas = 1
    keep: Seconds = 7 * 86400.0
    lease: Seconds = 10.0
    idle: Seconds = 0.25
    timeout: Seconds = 5.0
    waiting: Waiting = 65_536

    @classmethod
    def parse(cls, url: str) -> "NatsOptions":
        """From a URL; every wrong option is named."""
        parts = urlsplit(url)
        if not parts.hostname:
            raise ConfigurationError("the URL names no server", where=url, fix="write nats://host:4222")
        query = urlencode(parse_qsl(parts.query, keep_blank_values=True))
        server = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
        options = from_query(cls, f"{parts.scheme}://{parts.hostname}", query, server=server)
        if _TOKEN.fullmatch(options.prefix) is None:
            raise ConfigurationError(
                f"{options.prefix!r} cannot begin the names of streams",
                where=url,
                fix="use letters, digits and underscores, 32 at most",
            )
        return options


def token(channel: str) -> str:
    """A channel's name as one word of a subject: what has a meaning there is written in hexadecimal."""
    return (
        re.sub(r"[^A-Za-z0-9_-]", lambda found: "".join(f"={byte:02X}" for byte in found[0].encode()), channel) or "="
    )
