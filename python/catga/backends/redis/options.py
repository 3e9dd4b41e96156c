"""What a `redis://` URL may say."""

import re
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from catga.errors import ConfigurationError
from catga.ports.options import Seconds, from_query

_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,64}")
Durability = Literal["ALWAYS", "EVERYSEC", "NONE"]


class RedisOptions(msgspec.Struct, frozen=True):
    """`prefix` begins every key, in braces: all of an app is in one hash slot. `durability` is what the server must do at least:
    `ALWAYS` writes every commit out before it is answered, `EVERYSEC` within a second, `NONE` never. `lease`, `poll`, `idle`,
    `timeout` and `keep` are seconds: `poll` between looks for what other processes have published while there is work, `idle`
    while there is none, `timeout` how long the server may take for an answer, `keep` how long a channel waits for an app that
    has read it and is silent now."""

    server: str
    prefix: str = "catga"
    durability: Durability = "EVERYSEC"
    lease: Seconds = 10.0
    poll: Seconds = 0.002
    idle: Seconds = 0.05
    timeout: Seconds = 10.0
    keep: Seconds = 7 * 86400.0

    @classmethod
    def parse(cls, url: str) -> "RedisOptions":
        """From a URL; every wrong option is named."""
        parts = urlsplit(url)
        shown = shown_url(url)
        try:
            port = parts.port
        except ValueError as error:
            raise ConfigurationError(
                f"the port is no port: {error}", where=shown, fix="write redis://host:6379/0"
            ) from None
        if not parts.hostname:
            raise ConfigurationError("the URL names no server", where=shown, fix="write redis://host:6379/0")
        database = parts.path.strip("/") or "0"
        if not database.isdecimal():
            raise ConfigurationError(
                f"{database!r} is no number of a database", where=shown, fix="write redis://host:6379/0"
            )
        query = urlencode(parse_qsl(parts.query, keep_blank_values=True))
        netloc = parts.netloc if port is not None else f"{parts.netloc.rstrip(':')}:6379"
        server = urlunsplit((parts.scheme, netloc, f"/{int(database)}", "", ""))
        options = from_query(cls, shown.partition("?")[0], query, server=server)
        if _PREFIX.fullmatch(options.prefix) is None:
            raise ConfigurationError(
                f"{options.prefix!r} cannot begin the names of keys",
                where=shown,
                fix="use letters, digits, dots, dashes and underscores, 64 at most",
            )
        return options

    @property
    def where(self) -> str:
        """The server, without user and password."""
        parts = urlsplit(self.server)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def identity(self) -> str:
        """Two URLs of one database and prefix are one store."""
        parts = urlsplit(self.server)
        return f"redis:{parts.netloc.rpartition('@')[2]}{parts.path}#{self.prefix}"


def shown_url(url: str) -> str:
    """A URL without its password."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return url
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))
