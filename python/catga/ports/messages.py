"""What ports move: messages on their way out, deliveries on their way in, leases on parts."""

import msgspec

PARTS = 16
"""Every channel has this many parts; a key always falls into the same one."""


WINDOW = 128
"""Deliveries of one part that are out at once; after a crash so many of its oldest may have been."""


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A message with the identity fixed when it was accepted; every later sending reuses it. Times are ms since the epoch."""

    id: bytes
    channel: str
    part: int
    key: bytes | None
    priority: int
    due_ms: int
    frame: bytes


class Lease(msgspec.Struct, frozen=True, gc=False):
    """The right to work one part of a scope until `valid_until` (monotonic seconds, counted from before the claim).
    `epoch` grows with every claim; a commit under an older one changes nothing."""

    scope: str
    part: int
    epoch: int
    valid_until: float
    crashes: int = 0
    """Holders in a row that ended without giving it back, and without what they had out being ended since."""


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """A message received. `token` settles it and means something to its consumer only."""

    token: int | bytes
    part: int
    frame: bytes
    lease: Lease | None = None
    """What its part was held under when it was handed out: whatever comes of it commits under this one or not at all."""
    first: bool = False
    """It was handed out to nobody before, for certain: no handler can have left a mark for this row."""
    inherited: bool = False
    """It was there when its part was claimed: a former holder may have had it out."""
