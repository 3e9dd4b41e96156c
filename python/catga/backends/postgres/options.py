"""What a `postgresql://` URL may say."""

import re
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from catga.errors import ConfigurationError
from catga.ports.options import Positive, Seconds, from_query

NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class PostgresOptions(msgspec.Struct, frozen=True):
    """`schema` holds Catga's tables. `durability` is what the server must do at least: `ALWAYS` writes every commit out before
    it is answered, `NONE` never. `pool` is how many connections questions and `Connection` handlers share. `lease`,
    `poll`, `idle`, `hold` and `timeout` are seconds: `poll` between looks for what other processes have written while there
    is work, `idle` while there is none, `hold` how long a `Connection` handler may take, `timeout` how long a statement of
    ours may. Whatever else the URL says is libpq's (`sslmode` and the like)."""

    dsn: str
    schema: str = "catga"
    durability: Literal["ALWAYS", "NONE"] = "ALWAYS"
    pool: Positive = 4
    lease: Seconds = 10.0
    poll: Seconds = 0.002
    idle: Seconds = 0.05
    hold: Seconds = 1.0
    timeout: Seconds = 30.0

    @classmethod
    def parse(cls, url: str) -> "PostgresOptions":
        """From a URL; every wrong option is named."""
        parts = urlsplit(url)
        if not parts.hostname and not parts.query:
            raise ConfigurationError("the URL names no server", fix="write postgresql://user@host/database")
        ours = {field.encode_name for field in msgspec.structs.fields(cls)} - {"dsn"}
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        theirs = urlencode([(name, value) for name, value in pairs if name not in ours])
        query = urlencode([(name, value) for name, value in pairs if name in ours])
        dsn = urlunsplit(("postgresql", parts.netloc, parts.path, theirs, ""))
        options = from_query(cls, shown(url), query, dsn=dsn)
        if NAME.fullmatch(options.schema) is None:
            raise ConfigurationError(
                f"{options.schema!r} cannot be the name of a schema",
                where=shown(url),
                fix="use small letters, digits and underscores, 63 at most",
            )
        return options

    @property
    def identity(self) -> str:
        """Two URLs of one database and schema are one store; passwords are left out."""
        parts = urlsplit(self.dsn)
        return f"postgres:{parts.hostname or ''}:{parts.port or 5432}{parts.path}#{self.schema}"


def shown(url: str) -> str:
    """A URL without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{parts.netloc.rpartition('@')[2]}"))
