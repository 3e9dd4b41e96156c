"""`Envelope`: what travels beside a message."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from catga.envelope import headers as names

DAY_MS: Final = 86_400_000

NAMED: Final = 1
"""Flag of a frame whose id was chosen by its sender: another one with the same id may come on its own."""
COMPRESSED: Final = 2
"""Flag of a frame whose payload is one zstd frame."""
SIGNED: Final = 4
"""Flag of a frame whose payload ends in the signature of all that stands before it."""
CLAIMED: Final = 8
"""Flag of a frame whose payload was put into the blobs; what travels says which it is."""
RETURNING: Final = NAMED | SIGNED
"""Flags of frames that may come again by themselves: those who sign do not trust whoever can write to the queue."""


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """What travels beside a message. Times are ms since the epoch; `deadline_ms` is 0 where there is none."""

    id: bytes
    type: str
    version: int
    priority: int
    created_ms: int
    due_ms: int
    deadline_ms: int
    key: bytes | None
    ext: bytes | None = None
    flags: int = 0

    @property
    def headers(self) -> dict[str, str]:
        """What its sender put beside the message; decoded when asked for."""
        return names.read(self.ext, self.id) if self.ext else {}

    @property
    def tenant(self) -> str | None:
        """Whose message it is."""
        return self.headers.get(names.TENANT)

    @property
    def causation_id(self) -> str | None:
        """The message whose handling sent this one."""
        return self.headers.get(names.CAUSE)

    @property
    def correlation_id(self) -> str:
        """What all messages have in common that came of one: its id, where its sender gave no other."""
        return names.correlation(self.headers, self.id)

    @property
    def deadline(self) -> datetime | None:
        """When the message stops being worth handling."""
        return datetime.fromtimestamp(self.deadline_ms / 1000, UTC) if self.deadline_ms else None

    @property
    def day(self) -> int:
        """The day its marks are kept under: fixed when the message is created."""
        return self.due_ms // DAY_MS

    def ext_of_followers(self) -> bytes:
        """The headers of whatever is sent while this message is handled. Most have none to hand on but their id."""
        return names.caused_by(self.id) if self.ext is None else names.carried(self.headers, self.id)
