"""zstd: in the standard library from Python 3.14 on, an extra before. Bounded on the way in."""

import importlib
import sys
from typing import Any

from catga.errors import BadPayload, TooLarge, UnknownBackend, UnknownContentType

LARGEST_WINDOW = 27
"""As a power of two: no sender makes a decoder keep more than 128 MiB."""


def library() -> Any:
    """The module; `UnknownBackend` where it is not installed."""
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UnknownBackend(
            "zstd is not installed", where="Wire(compress_above=…)", fix="pip install 'catga[zstd]'"
        ) from None


def compress(payload: bytes) -> bytes:
    """At the library's own level."""
    done: bytes = library().compress(payload)
    return done


def decompress(payload: Any, most: int) -> bytes:
    """The one whole frame that `payload` is, of at most so many bytes; nothing above that is ever made."""
    try:
        zstd = library()
    except UnknownBackend as error:
        raise UnknownContentType(
            "the payload is compressed with zstd, which is not installed", fix=f"{error.fix}, then replay the message"
        ) from None
    reader = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: LARGEST_WINDOW})
    try:
        data: bytes = reader.decompress(payload, most + 1)
    except zstd.ZstdError as error:
        raise BadPayload("the payload does not decompress", why=str(error), fix="mend the sender") from None
    if len(data) > most:
        raise TooLarge(
            f"the payload is more than {most:,} bytes when it is decompressed",
            why="it may be made to use up memory",
            fix="send a reference to the data instead, or raise Wire(max_bytes=…)",
        )
    if not reader.eof or reader.unused_data:
        raise BadPayload(
            "the payload is not one whole zstd frame",
            why="bytes are left over" if reader.eof else "it ends too early",
            fix="mend the sender",
        )
    return data
