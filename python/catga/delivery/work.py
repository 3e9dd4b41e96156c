"""Work: one message for one handler, on its way from a delivery or a parked row to its commit."""

import msgspec

from catga.envelope import Envelope
from catga.mediator.handlers import Handler, Retry
from catga.mediator.pipeline import Call
from catga.messages import Message
from catga.ports.messages import Delivery, Lease
from catga.ports.store import Parked

CONFLICTS = 10
"""Times a handler is run again at once because `expect=` was not met."""


class Target(msgspec.Struct, eq=False, frozen=True):
    """A handler as delivery calls it; `lane` keeps its keys apart from those of the others."""

    handler: Handler
    id: str
    call: Call
    retry: Retry
    lane: bytes
    writes: bool
    """It asks for a `Connection`: it runs alone, in a transaction of its own."""


class Arrival(msgspec.Struct, eq=False, gc=False):
    """A delivery and how many of its handlers have not ended yet; it is settled with the last one."""

    delivery: Delivery
    left: int
    kept: bool = False
    """Something is parked of it, or was handled at another time: its blob, if it has one, goes by its age."""


class Work(msgspec.Struct, eq=False, gc=False):
    """One message for one handler."""

    target: Target
    message: Message
    envelope: Envelope
    part: int
    lease: Lease | None
    frame: bytes
    lane: bytes | None
    arrival: Arrival | None
    parked: Parked | None = None
    conflicts: int = 0
    joined: bool = False
    """It was not known to be behind the others of its key before."""

    @property
    def failures(self) -> int:
        """Failures before this run."""
        return self.parked.failures if self.parked is not None else 0

    @property
    def place(self) -> tuple[str, bytes | None]:
        """What blocked keys are known by."""
        return (self.target.id, self.envelope.key)

    @property
    def name(self) -> tuple[str, bytes]:
        """What its mark and its parked row are known by."""
        return (self.target.id, self.envelope.id)
