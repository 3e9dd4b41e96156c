"""What a `sqlite://` URL may say."""

from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec

from catga.errors import ConfigurationError
from catga.ports.options import Positive, Seconds, from_query


class SqliteOptions(msgspec.Struct, frozen=True):
    """`synchronous`: FULL keeps every acknowledged commit through a power failure; NORMAL keeps them through any crash
    of a process, and may lose the last ones when the power fails. `lock_timeout`, `lease`, `poll` are seconds, and `hold` is how long
    a `Connection` handler may keep the write lock."""

    path: str
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    lock_timeout: Seconds = 10.0
    lease: Seconds = 10.0
    poll: Seconds = 0.01
    hold: Seconds = 1.0
    readers: Positive = 2

    @classmethod
    def parse(cls, url: str) -> "SqliteOptions":
        """From a URL; every unknown or wrong option is named."""
        parts = urlsplit(url)
        path = unquote(parts.path).removeprefix("/") if not parts.path.startswith("//") else unquote(parts.path)[1:]
        if parts.netloc or not path:
            raise ConfigurationError(
                f"{url!r} names no file", fix="write sqlite:///relative.db or sqlite:////absolute/path.db"
            )
        return from_query(cls, url, parts.query, path=path)

    @property
    def absolute(self) -> Path:
        """The file, resolved: two URLs of one file are one store."""
        return Path(self.path).resolve()
