"""What a backend does for a queue of rows; leases and windows stand above it."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol, TypeAlias

from catga.messages import NORMAL
from catga.ports.messages import Lease, Outgoing

Row: TypeAlias = tuple[int, bool, int, int, bytes, Any]
"""(part, urgent, token, place, frame, origin): the token ends it; whatever is committed later has a higher place; the origin
is the backend's own business."""

Want: TypeAlias = tuple[int, bool, int]
"""(part, urgent, room): up to so many rows of a part, either of those that are urgent or of the others."""


End: TypeAlias = tuple[int, Row | None, Row | None]
"""(part, ordered, urgent): the oldest rows of each kind that have not ended; None: all that was read has."""


class Restarted(Exception):
    """The backend crashed, and may have forgotten what it had shown: its parts are claimed anew, and read from their kept
    positions."""


def rank_of(message: Outgoing) -> int:
    """Without a key who is urgent goes first; all others keep the order of their commits, in the rank `NORMAL`."""
    return message.priority if message.key is None and message.priority < NORMAL else NORMAL


class Rows(Protocol):
    """One channel's rows, committed ones only. Each part is read once from where it begins; what was read and given back
    is not asked for again."""

    def version(self) -> int:
        """Another one says that something may have been committed since."""
        ...

    async def changed(self, version: int, seconds: float) -> None:
        """Waits until `version` is out of date, or so many seconds."""
        ...

    def wake(self) -> None:
        """Ends every wait in this process."""
        ...

    async def begin(self, leases: Sequence[Lease]) -> Sequence[int]:
        """Parts that were claimed: reading them begins at their oldest row that has not ended. For each the last place that
        was given so far."""
        ...

    async def read(
        self, wants: Sequence[Want], most: int, known: Collection[int]
    ) -> tuple[Sequence[Row], Collection[tuple[int, bool]]]:
        """The next rows, from want to want until there are `most`: those of the rank `NORMAL` in the order in which they
        became visible, urgent ones most urgent first where the backend can. `known` are urgent ones that were read and have
        not ended; they do not come again. And which (part, urgent) have no more now. Raises `Restarted`."""
        ...

    async def end(self, items: Sequence[tuple[int, Lease]]) -> Sequence[bool]:
        """Removes rows, each only if nobody has claimed its part since that lease; whether nobody had."""
        ...

    async def close(self) -> None:
        """After the last question."""
        ...

    async def positions(self, ends: Sequence[End]) -> Sequence[str | None]:
        """Where the next holder of each part begins: before its oldest rows. What is behind it stays read, even if the backend
        crashes now. None where nothing can be said, and from a backend whose rows are gone when they have ended."""
        ...
