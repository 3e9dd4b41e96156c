"""The transport port: what carries messages between processes."""

import enum
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from catga.ports.messages import Delivery, Lease, Outgoing

if TYPE_CHECKING:
    from catga.ports.store import Store


class Sent(enum.Enum):
    """What became of a message that was published. SKIPPED: an earlier one of its part failed, so it was not tried."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


class Settle(enum.Enum):
    """What to do with a delivery. RELEASE gives it back uncounted."""

    DONE = "done"
    RELEASE = "release"
    REJECT = "reject"


class Settled(enum.Enum):
    """STALE: the epoch was superseded, nothing changed."""

    OK = "ok"
    STALE = "stale"
    UNKNOWN = "unknown"


class Capabilities(msgspec.Struct, frozen=True):
    """What a transport does by itself; the rest is done above it."""

    accepts_durably: bool
    ordered_parts: bool
    max_bytes: int
    store_id: str | None = None
    """Set where publishing and settling can join a commit of that store."""


class Consumer(Protocol):
    """One app's subscription to one channel, shared with its other instances."""

    async def receive(self, most: int, wait: float) -> Sequence[Delivery]:
        """Up to `most` deliveries; empty after `wait` seconds without any."""
        ...

    async def settle(self, items: Sequence[tuple[Any, Settle]]) -> Sequence[Settled]:
        """Ends deliveries; after the commit that recorded their outcome. Idempotent: what has ended already stays so,
        and is answered with OK or STALE."""
        ...

    def settled(self, tokens: Sequence[Any]) -> None:
        """They were ended inside a commit of the store that the transport shares."""
        ...

    def rewind(self) -> None:
        """Gives back, uncounted, all that is out: it is received again, in order."""
        ...

    def lease_of(self, part: int) -> Lease | None:
        """The lease that work of this part must commit under; None where parts are not leased."""
        ...

    def congested(self) -> bool:
        """Whether some part has as much out as it may, and gives nothing before some of it is settled."""
        ...

    def left(self, part: int, tokens: Collection[Any]) -> bool:
        """Whether one of these has not ended, or something is still to come of the part that was there when it was claimed."""
        ...

    def parts(self) -> Sequence[int]:
        """The parts this instance may work now."""
        ...

    async def stop(self) -> None:
        """No more deliveries; parts go back to the others."""
        ...


class Transport(Protocol):
    """Carries messages; moves lists."""

    capabilities: Capabilities

    async def open(self) -> None:
        """Connects and declares; idempotent."""
        ...

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Sent]:
        """Hands messages over, in order per part."""
        ...

    async def consume(self, channel: str, owner: str, store: "Store") -> Consumer:
        """Joins the app's subscription to a channel; leases on its parts are kept in the app's own store, so that its commits
        are fenced by them."""
        ...

    async def close(self) -> None:
        """Ends what was started."""
        ...
