"""What a `file://` URL may say."""

from urllib.parse import unquote, urlsplit

import msgspec

from catga.errors import ConfigurationError
from catga.ports.options import from_query


class FileOptions(msgspec.Struct, frozen=True):
    """A folder; it is made where it is not there."""

    path: str

    @classmethod
    def parse(cls, url: str) -> "FileOptions":
        """From a URL; every unknown option is named."""
        parts = urlsplit(url)
        path = unquote(parts.path).removeprefix("/") if not parts.path.startswith("//") else unquote(parts.path)[1:]
        if parts.netloc or not path:
            raise ConfigurationError(
                f"{url!r} names no folder", fix="write file:///relative/folder or file:////absolute/folder"
            )
        return from_query(cls, url, parts.query, path=path)
