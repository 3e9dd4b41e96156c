"""`Wire`: how an app writes its messages. What is read says itself how it was written."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from catga.envelope.compression import library
from catga.envelope.signing import Signing
from catga.errors import ConfigurationError, UnknownBackend

MAX_BYTES: Final = 16 * 1024 * 1024


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """How an app's messages are written, where they leave the process or wait in a store.

    `codec` is that of all whose class (`class Placed(Event, codec="json")`) or channel (`channels={"audit": "json"}`)
    names none. A payload above `compress_above` bytes is compressed with zstd where that makes it shorter; none may be
    longer than `max_bytes`, decompressed. What is too large for the transport, or above `claim_above` bytes, goes to the
    app's `blobs=`, where it stays `keep_days` after its message was due, if nothing removes it before. With `signing` each is signed, and none is accepted that is not.

    >>> Wire(codec="json", compress_above=4096).max_bytes
    16777216
    """

    codec: Literal["msgpack", "json"] = "msgpack"
    channels: Mapping[str, Literal["msgpack", "json"]] = {}
    compress_above: int | None = None
    max_bytes: int = MAX_BYTES
    claim_above: int | None = None
    keep_days: int = 30
    signing: Signing | None = None

    def check(self, window_days: int, has_blobs: bool) -> Sequence[ConfigurationError]:
        """Mistakes, before anything starts."""
        mistakes: list[ConfigurationError] = []
        if self.compress_above is not None:
            try:
                library()
            except UnknownBackend as error:
                mistakes.append(error)
        if self.claim_above is not None and not has_blobs:
            mistakes.append(
                ConfigurationError(
                    "there are no blobs to put payloads into",
                    where="Wire(claim_above=…)",
                    fix="give the app blobs='file:///blobs'",
                )
            )
        if self.keep_days < window_days:
            mistakes.append(
                ConfigurationError(
                    f"payloads are kept {self.keep_days} days, messages are known {window_days}",
                    where="Wire(keep_days=…)",
                    why="a message would outlive its payload",
                    fix="give no fewer than window_days",
                )
            )
        if self.signing is not None:
            mistakes += self.signing.check(window_days)
        return mistakes
