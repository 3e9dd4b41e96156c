"""The blob port: where payloads are kept that are too large to travel."""

from collections.abc import Sequence
from typing import Protocol


class Blobs(Protocol):
    """Holds bytes under names of hexadecimal digits and dashes. Errors are those of a store: `StoreUnavailable` and the like."""

    blobs_id: str

    async def open(self) -> None:
        """Connects, makes what is needed; idempotent."""
        ...

    async def close(self) -> None:
        """Ends what was started."""
        ...

    async def put(self, name: str, data: bytes, until_ms: int) -> None:
        """Keeps it, through a crash of the machine, once this returns; `expire` may take it after `until_ms`. The same name is
        given the same bytes again, and then has the later of both times. A cancelled caller leaves the whole of it or
        nothing under the name."""
        ...

    async def get(self, name: str, most: int) -> bytes | None:
        """What was put; None where there is nothing, or more than `most` bytes."""
        ...

    async def remove(self, names: Sequence[str]) -> None:
        """What is not there is no error."""
        ...

    async def expire(self, now_ms: int) -> int:
        """Removes what was to be kept until before now; how many."""
        ...
