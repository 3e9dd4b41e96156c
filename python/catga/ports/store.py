"""The store port: one commit spans what handlers wrote, their marks, what they published and what is parked."""

import enum
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import msgspec

from catga.errors import StaleLease
from catga.ports.messages import Lease, Outgoing
from catga.ports.transport import Transport
from catga.transaction import Connection, Row, Statement

T = TypeVar("T")


class MarkState(enum.IntEnum):
    """What the inbox knows of one message and one handler."""

    DONE = 1
    DEFERRED = 2
    DEAD = 3


class Mark(msgspec.Struct, frozen=True, gc=False):
    """The inbox's row. `day` is that of the message's due time and travels with it, so that a look-up days later finds
    the same row. With `replace` an earlier state is overwritten; without, it makes the unit a duplicate."""

    day: int
    handler: str
    id: bytes
    state: MarkState = MarkState.DONE
    reply: bytes | None = None
    replace: bool = False


class ParkedState(enum.StrEnum):
    """Why a message waits."""

    RETRY = "retry"
    BLOCKED = "blocked"
    SCHEDULED = "scheduled"
    DEAD = "dead"


class Parked(msgspec.Struct, frozen=True, gc=False):
    """A message that waits for one handler (`handler` is empty for a scheduled one, which waits for all)."""

    handler: str
    id: bytes
    channel: str
    part: int
    key: bytes | None
    state: ParkedState
    due_ms: int
    frame: bytes
    claims: int = 0
    failures: int = 0
    reason: str = ""
    history: bytes = b""
    order: int = 0
    """Given by the store; followers of a key leave in this order."""

    @property
    def blocks(self) -> bool:
        """Whether it is a dead letter that its key waits for."""
        return self.state is ParkedState.DEAD and self.due_ms < 0


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A parked message that later ones of its key must wait behind; `dead` where it is a dead letter that blocks."""

    handler: str
    key: bytes
    part: int
    id: bytes
    dead: bool


class Unit(msgspec.Struct, eq=False, gc=False):
    """What one handler's outcome writes: all of it, or nothing.

    `unpark` names the (handler, id) of parked rows this unit is the end of: where one is gone, somebody else has ended
    it and the unit is a duplicate. `settle` holds delivery tokens of the store's own queue. Where one of `leases` was
    superseded, nothing is written.
    """

    statements: Sequence[Statement] = ()
    marks: Sequence[Mark] = ()
    publish: Sequence[Outgoing] = ()
    park: Sequence[Parked] = ()
    unpark: Sequence[tuple[str, bytes]] = ()
    settle: Collection[Any] = ()
    leases: Collection[Lease] = ()


class Commit(enum.Enum):
    """What became of a unit."""

    COMMITTED = "committed"
    DUPLICATE = "duplicate"
    """An earlier commit has its mark; nothing was written."""
    FAILED = "failed"
    """Its own statement failed; rolled back alone."""
    STALE = "stale"
    """A lease of it was taken over; nothing was written."""


class Outcome(msgspec.Struct, frozen=True):
    """A unit's fate, with the error where it failed."""

    commit: Commit
    error: Exception | None = None


COMMITTED = Outcome(Commit.COMMITTED)
DUPLICATE = Outcome(Commit.DUPLICATE)
STALE = Outcome(
    Commit.STALE,
    StaleLease(
        "the part was taken over by another instance",
        why="its lease had run out",
        fix="nothing: the new holder does this work",
    ),
)


class Share(msgspec.Struct, frozen=True):
    """What a claim gave: the leases held, and how many of them are above this owner's fair share now. Of a claim `anew`,
    the epochs under which the owner had its parts before it."""

    leases: Sequence[Lease]
    surplus: int
    before: Mapping[int, int] = {}


@runtime_checkable
class Joining(Protocol):
    """A store whose outbox can join transactions that are not Catga's: a facet that not every store has."""

    async def publish_within(self, transaction: Any, batch: Sequence[Outgoing]) -> None:
        """Writes messages in an open transaction of the caller's: they leave if, and only if, it commits."""
        ...


class Store(Protocol):
    """Where an app keeps what must survive it. All instances of an app share one."""

    store_id: str
    lease: float
    """Seconds that a part of the outbox stays with a relay that says nothing."""
    tables: bool
    """Whether handlers can write to it, through `Transaction` and `Connection`."""

    async def open(self) -> None:
        """Connects, migrates, checks; typed errors for what cannot be used."""
        ...

    async def close(self) -> None:
        """Ends what was started; waits for a commit under way."""
        ...

    async def commit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        """All units in one commit, in order, each as its own savepoint, epochs checked inside.

        Raising `OutcomeUnknown` means that they, or some of them, may have been written; any other error that none was.
        Cancelling the caller does not stop a commit that has begun. Every name in a unit has been declared.
        """
        ...

    async def rename(self, aliases: Mapping[str, str]) -> None:
        """What old handler names have becomes that of the new ones: `aliases` maps old to new."""
        ...

    async def declare(self, names: Sequence[str]) -> None:
        """Makes channels and handlers known before they are used."""
        ...

    async def exclusive(
        self, work: Callable[[Connection], Awaitable[T]], unit_of: Callable[[T], Unit]
    ) -> tuple[T, Unit, Outcome]:
        """Awaits `work` with the driver's own connection while holding the write lock, then commits what it wrote
        together with the unit made from its result. `HoldLimitExceeded` where it takes too long. Cancelling the caller
        ends `work`, waits for its end and writes nothing; a commit that has begun is made."""
        ...

    async def fetch(self, sql: str, args: tuple[Any, ...]) -> Sequence[Row]:
        """Committed rows, on a connection that cannot write: `ForbiddenStatement` for what would, and for what would
        outlast the question; `StatementFailed` for one that has no answer."""
        ...

    def queue(self) -> Transport:
        """The transport in this same store: what units publish goes there, and settles in the same commit."""
        ...

    # Inbox
    async def known(self, wanted: Mapping[tuple[int, str], Sequence[bytes]]) -> set[tuple[str, bytes]]:
        """Of ids per (day, handler), those that have a mark, as (handler, id)."""
        ...

    async def mark(self, day: int, handler: str, id: bytes) -> Mark | None:
        """One mark with its stored reply."""
        ...

    async def forget(self, before_day: int) -> None:
        """Drops marks older than the dedupe window."""
        ...

    # Leases
    async def claim(self, scope: str, owner: str, parts: int, ttl: float, *, anew: bool = False) -> Share:
        """Renews what this owner has, under its epoch, and takes of a scope's parts what is expired or free, up to its
        fair share, each under a new epoch. Shares differ by one at most. With `anew` what it has goes on under new epochs too:
        what was to be committed under the old ones has been when this returns, or never will be."""
        ...

    async def release(self, scope: str, owner: str, leases: Sequence[Lease], leave: bool = False) -> None:
        """Gives parts of a scope back cleanly; with `leave` the owner is no longer counted when its parts are shared out."""
        ...

    async def alone(self, lease: Lease, token: int | bytes) -> int:
        """Records durably that one delivery is about to be worked alone; how many such claims ended without a word."""
        ...

    async def clear(self, leases: Sequence[Lease]) -> None:
        """What their crashed holders had out has ended: their crashes no longer count."""
        ...

    async def positions(self, scope: str, parts: Sequence[int]) -> Mapping[int, str]:
        """How far a log has been worked, per part, as `advance` said last; parts that nobody has begun are left out."""
        ...

    async def advance(self, owner: str, positions: Sequence[tuple[Lease, str]]) -> None:
        """A log has been worked this far; where the lease was superseded nothing is changed."""
        ...

    # Outbox
    async def outbox(self, leases: Sequence[Lease], most: int) -> Sequence[Outgoing]:
        """Up to `most` committed rows of these parts that are not sent yet: of the first part all, then of the next; a part's
        in the same order at every call."""
        ...

    async def sent(self, leases: Sequence[Lease], rows: Sequence[Outgoing]) -> Collection[int]:
        """Removes what `outbox` gave; the parts whose lease was superseded, of which nothing is removed."""
        ...

    # Parked
    async def due(self, channel: str, parts: Sequence[int], now_ms: int, most: int) -> Sequence[Parked]:
        """Retries and scheduled messages whose time has come, oldest due first."""
        ...

    async def followers(self, channel: str, part: int, handler: str, key: bytes, most: int) -> Sequence[Parked]:
        """A key's blocked rows, in their order, as far as nothing else of the key waits before them: empty while its
        head waits for a retry, or is a dead letter that blocks."""
        ...

    async def waiting(self, channel: str, parts: Sequence[int]) -> Sequence[Waiting]:
        """Every parked row that later messages of its key must wait behind, in their order."""
        ...

    async def dead(self, most: int, handler: str | None = None) -> Sequence[Parked]:
        """Dead letters, newest first."""
        ...

    async def next_due(self) -> int | None:
        """When the next parked row becomes due (ms since the epoch)."""
        ...

    async def pending(self) -> int:
        """Messages that are neither handled, dead nor scheduled for later, and wait behind no dead letter that blocks; 0 says
        that nothing is left to do."""
        ...
