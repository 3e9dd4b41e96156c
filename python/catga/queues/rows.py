"""What a backend does for a queue of rows; leases, windows and suspects stand above it."""

from collections.abc import Collection, Sequence
from typing import Protocol, TypeAlias

from catga.messages import NORMAL
from catga.ports.messages import Lease, Outgoing

WINDOW = 128
"""Deliveries of one part that are out at once. After a crash this many of the part's oldest, and as many of its urgent
ones, are suspects."""

Row: TypeAlias = tuple[int, int, int, bytes]
"""(part, token, place, frame): the token ends it; places of a part grow in the order in which rows became visible."""


def rank_of(message: Outgoing) -> int:
    """Without a key who is urgent goes first; all others keep the order of their commits, in the rank `NORMAL`."""
    return message.priority if message.key is None and message.priority < NORMAL else NORMAL


class Rows(Protocol):
    """One channel's rows. Committed ones only; what was read once is read again in the same order."""

    def version(self) -> int:
        """Another one says that something may have been committed since."""
        ...

    async def changed(self, version: int, seconds: float) -> None:
        """Waits until `version` is out of date, or so many seconds."""
        ...

    def wake(self) -> None:
        """Ends every wait in this process."""
        ...

    async def ordered(self, part: int, after: int, most: int) -> Sequence[Row]:
        """Rows of the rank `NORMAL` behind a place, by place."""
        ...

    async def urgent(self, parts: Sequence[int], most: int) -> Sequence[Row]:
        """Rows of the other ranks: most urgent first, and in a part oldest first."""
        ...

    async def latest(self, part: int) -> int:
        """The last place that was given in `ordered` so far: later commits come behind it."""
        ...

    async def end(self, items: Sequence[tuple[int, Lease, bool]]) -> Sequence[bool]:
        """For each (token, lease, gone): whether nobody has claimed the part since that lease. Only then a row that is
        to be gone is removed; all of it is one commit."""
        ...

    async def exist(self, tokens: Collection[int]) -> bool:
        """Whether one of these is left."""
        ...

    async def alone(self, lease: Lease, token: int) -> int:
        """Records durably that one row is about to be worked alone; how many such claims ended without a word."""
        ...
