"""What ports move: messages on their way out, deliveries on their way in, leases on parts."""

import msgspec

PARTS = 16
"""Every channel has this many parts; a key always falls into the same one."""


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
    again: bool = False
    """It was, or may have been, out with an instance that ended without a word."""
    suspect: bool = False
    """That has happened twice in a row: it runs alone, so that the one that kills its process is told from the rest."""
    first: bool = False
    """It was handed out to nobody before, for certain: no handler can have left a mark for this row."""
