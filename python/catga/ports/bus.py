"""What carries live messages between processes."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol, TypeAlias

Hear: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Called with one frame after the other; raises nothing."""


class Topic(NamedTuple):
    """What one listens to: a type of message in a channel."""

    channel: str
    type: str


class Bus(Protocol):
    """Who listens now hears, at most once; nothing is kept. The messages of one sender are heard in their order."""

    max_bytes: int
    """Of a frame."""

    async def open(self) -> None:
        """Connects; idempotent. `TransportUnavailable` where it cannot."""
        ...

    async def close(self) -> None:
        """Listens no more; what was heard by then is handled before this returns."""
        ...

    async def tell(self, topic: Topic, frame: bytes) -> None:
        """Sends it on its way; nobody says whether it arrived. `TransportUnavailable` where it cannot even leave."""
        ...

    async def listen(self, topic: Topic, group: str | None, hear: Hear) -> None:
        """From its return on. Of those that listen as one `group`, one hears each message; without it everybody does."""
        ...

    def missed(self) -> int:
        """Messages that came faster than they were handled, and were dropped here."""
        ...
