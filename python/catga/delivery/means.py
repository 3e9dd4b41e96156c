"""What the parts of one channel work with."""

import msgspec

from catga.clock import Clock
from catga.delivery.claims import Claims
from catga.delivery.committer import Committer
from catga.delivery.failures import Failures
from catga.delivery.recorder import Recorder
from catga.delivery.run import Runner
from catga.envelope import Codec
from catga.ports.store import Store
from catga.ports.transport import Consumer


class Means(msgspec.Struct, frozen=True, eq=False):
    """Given to each of them when the channel is made."""

    channel: str
    clock: Clock
    codec: Codec
    store: Store
    committer: Committer
    runner: Runner
    failures: Failures
    recorder: Recorder
    consumer: Consumer
    colocated: bool
    """Publishing and settling join the commits of the store: the queue is its own."""
    window_days: int
    claims: Claims | None
