"""What a transport and a store must do. Batch in, one outcome per item out, in the same order; raising means that
nothing is known of any item."""

from catga.ports.blobs import Blobs
from catga.ports.messages import PARTS, Delivery, Lease, Outgoing
from catga.ports.store import Commit, Mark, MarkState, Outcome, Parked, ParkedState, Share, Store, Unit, Waiting
from catga.ports.transport import Capabilities, Consumer, Sent, Settle, Settled, Transport

__all__ = [
    "PARTS",
    "Blobs",
    "Capabilities",
    "Commit",
    "Consumer",
    "Delivery",
    "Lease",
    "Mark",
    "MarkState",
    "Outcome",
    "Outgoing",
    "Parked",
    "ParkedState",
    "Sent",
    "Settle",
    "Settled",
    "Share",
    "Store",
    "Transport",
    "Unit",
    "Waiting",
]
