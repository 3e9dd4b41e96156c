"""What a backend can say of the server behind it."""

from typing import Protocol, runtime_checkable

import msgspec


class Server(msgspec.Struct, frozen=True):
    """As it answered a moment ago. `wall_ms` is its clock, in milliseconds since 1970, where it tells."""

    product: str
    wall_ms: int | None = None


@runtime_checkable
class OnServer(Protocol):
    """A store, transport or bus that is open, and lives on a server."""

    async def server(self) -> Server:
        """Asks it; raises where it does not answer, or lacks what this backend needs."""
        ...
