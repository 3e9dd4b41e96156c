"""What a backend does for a queue of rows; leases and windows stand above it."""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from catga.messages import NORMAL
from catga.ports.messages import Lease, Outgoing

Row: TypeAlias = tuple[int, int, int, bytes]
"""(part, token, place, frame): the token ends it; whatever is committed later has a higher place."""


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

    async def read(self, wants: Sequence[tuple[int, int]], most: int) -> Sequence[Row]:
        """For each (part, room) its next rows of the rank `NORMAL`, in the order in which they became visible; from part to
        part until there are `most`."""
        ...

    async def urgent(self, parts: Sequence[int], known: int, most: int) -> Sequence[Row]:
        """Rows of the other ranks, most urgent first, and in a part oldest first; `known` of them may be known already and
        come again."""
        ...

    async def end(self, items: Sequence[tuple[int, Lease]]) -> Sequence[bool]:
        """Removes rows, each only if nobody has claimed its part since that lease; whether nobody had."""
        ...
