"""What carries live messages between processes."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from catga.errors import NoAnswer

Hear: TypeAlias = Callable[[Sequence[bytes]], Awaitable[None]]
"""Called with the frames that have come, in their order; raises nothing."""

Reply: TypeAlias = Callable[[bytes], Awaitable[bytes]]
"""Called with a question, gives its answer; raises nothing."""


class Topic(NamedTuple):
    """What one listens to: a type of message in a channel."""

    channel: str
    type: str


def no_answer(topic: Topic) -> NoAnswer:
    """The error of a bus on which nobody answers a topic."""
    return NoAnswer(
        f"nobody answers {topic.type}",
        where=f"channel {topic.channel}",
        why="no running app on the bus has a handler for it that is remote",
        fix=f"start one that has `@app.handler({topic.type}, remote=True)`, or name its channel in the class",
    )


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
        """Sends it on its way, with others that are told at the same time; nobody says whether it arrived.
        `TransportUnavailable` where those before it could not even leave."""
        ...

    async def listen(self, topic: Topic, group: str | None, hear: Hear) -> None:
        """From its return on. Of those that listen as one `group`, one hears each message; without it everybody does."""
        ...

    async def ask(self, topic: Topic, frame: bytes, seconds: float) -> bytes:
        """One answer. `NoAnswer` where nobody answers this topic, `TimeoutError` where no answer came: it may have been
        handled."""
        ...

    async def answer(self, topic: Topic, reply: Reply) -> None:
        """From its return on, in turn with the others that answer this topic; several questions at once."""
        ...

    def missed(self) -> int:
        """Messages that came faster than they were handled, and were dropped here."""
        ...
