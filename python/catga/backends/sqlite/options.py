"""What a `sqlite://` URL may say."""

from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from catga.errors import ConfigurationError


class SqliteOptions(msgspec.Struct, frozen=True):
    """`synchronous`: FULL keeps every acknowledged commit through a power failure; NORMAL keeps them through any crash
    of a process, and may lose the last ones when the power fails. `lock_timeout`, `lease`, `poll` are seconds, and `hold` is how long
    a `Connection` handler may keep the write lock."""

    path: str
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    lock_timeout: float = 10.0
    lease: float = 10.0
    poll: float = 0.01
    hold: float = 1.0
    readers: int = 2

    @classmethod
    def parse(cls, url: str) -> "SqliteOptions":
        """From a URL; every unknown or wrong option is named."""
        parts = urlsplit(url)
        path = unquote(parts.path).removeprefix("/") if not parts.path.startswith("//") else unquote(parts.path)[1:]
        if parts.netloc or not path:
            raise ConfigurationError(
                f"{url!r} names no file", fix="write sqlite:///relative.db or sqlite:////absolute/path.db"
            )
        given = dict(parse_qsl(parts.query))
        if "synchronous" in given:
            given["synchronous"] = given["synchronous"].upper()
        try:
            return (
                msgspec.convert({**given, "path": path}, cls, strict=False)
                if not given.keys() - set(cls.__struct_fields__)
                else _unknown(given, cls)
            )
        except msgspec.ValidationError as error:
            raise ConfigurationError(
                f"{url!r} has a wrong option", why=str(error), fix=f"known are: {', '.join(cls.__struct_fields__[1:])}"
            ) from error

    @property
    def absolute(self) -> Path:
        """The file, resolved: two URLs of one file are one store."""
        return Path(self.path).resolve()


def _unknown(given: dict[str, str], cls: type[SqliteOptions]) -> SqliteOptions:
    unknown = ", ".join(sorted(given.keys() - set(cls.__struct_fields__)))
    raise ConfigurationError(
        f"unknown SQLite option: {unknown}", fix=f"known are: {', '.join(cls.__struct_fields__[1:])}"
    )
