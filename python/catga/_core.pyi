"""The Rust extension: private, re-exported by the rooms that use it.

Times are integers in the unit the parameter names; nothing here reads a clock or draws a random number.
"""

from collections.abc import Callable, Coroutine, Sequence
from types import GenericAlias
from typing import Any, Generic, Literal, TypeVar, final

T = TypeVar("T")

def build_info() -> dict[str, str]: ...
def wall_ms() -> int:
    """Milliseconds since 1970 by the system's clock, which may be set."""

# -- lanes ------------------------------------------------------------------------------------------------------------

@final
class Lanes(Generic[T]):
    """Bounded, prioritised dispatch: 8 priorities (0 first), one item in flight per key, owned by one thread.

    Without a key an item has no order. With one, items of that key leave in the order they came, one at a time: the
    next leaves after ``done(key)``. A key's lane is ranked by the priority of its head, and goes behind what is ready
    already: keys take turns.

    ``strict`` ranks by priority alone. Otherwise an item rises one level per ``aging_ms`` it has been ready: one of
    priority p, ready at t, is overtaken by nothing that becomes ready at t + p * aging_ms or later.

    ``drop_oldest`` gives up the oldest queued item of the least urgent priority (the priority it was put with); a
    newcomer less urgent than everything queued is itself that item. ``drop_newest`` gives up the newcomer.
    """

    def __new__(
        cls,
        capacity: int,
        *,
        policy: Literal["block", "reject", "drop_oldest", "drop_newest"] = "block",
        strict: bool = False,
        aging_ms: int = 1000,
    ) -> Lanes[T]: ...
    def put(self, item: T, key: bytes | None, priority: int, now_ms: int) -> tuple[bool, T | None]:
        """(accepted, dropped). When full, ``block`` and ``reject`` answer (False, None): the caller waits or raises."""
    def put_many(
        self, items: Sequence[T], keys: Sequence[bytes | None] | None, priorities: bytes | int, now_ms: int
    ) -> tuple[int, list[T]]:
        """(how many were accepted, what was dropped). ``block`` and ``reject`` accept the first ones and leave the rest
        to the caller; what a dropping policy did not accept is in the list, and need not be the last ones."""
    def drain(self, most: int, now_ms: int) -> list[T]:
        """Up to ``most`` items that may run now, best first; their keys are in flight from here on."""
    def done(self, key: bytes) -> bool:
        """The key's item in flight has ended; True where another of that key is now ready. It counts as ready since the
        latest ``now_ms`` of a put or a drain. A key that is not in flight is no error."""
    def done_many(self, keys: Sequence[bytes | None]) -> int:
        """As ``done`` for each key that is not None; how many lanes became ready."""
    def ready(self) -> int:
        """How many items a ``drain`` could give now."""
    def clear(self) -> list[T]:
        """Everything still queued, in order of arrival; in-flight keys are forgotten."""
    def statistics(self) -> dict[str, int | list[int]]:
        """queued, ready, in_flight (keys), capacity, accepted, rejected (by ``reject``), dropped (with newcomers),
        drained, oldest_ms (how long the oldest had waited at the latest ``now_ms``; 0 when empty), by_priority."""
    def __len__(self) -> int:
        """How many items are queued, ready or not."""
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...

# -- ring -------------------------------------------------------------------------------------------------------------

@final
class Ring(Generic[T]):
    """Bounded lock-free ring by which any thread feeds one consumer, with one wake-up per batch.

    ``wake`` is called by the producer that finds the consumer idle, and by no other until the next ``drain``.
    """

    def __new__(cls, capacity: int, wake: Callable[[], object]) -> Ring[T]: ...
    def push(self, item: T) -> bool:
        """False when the ring is full or closed. What ``wake`` raises comes out here: the item is in the ring, and the
        next push wakes again."""
    def drain(self, most: int) -> list[T]:
        """Up to ``most`` items in order. When fewer than ``most`` came back the ring is idle and the next push wakes;
        when ``most`` did, nothing wakes and the caller has to come back. ``drain(0)`` changes nothing."""
    def close(self) -> None:
        """No more pushes; what is in the ring can still be drained."""
    @property
    def closed(self) -> bool: ...
    def __len__(self) -> int: ...
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...

# -- timing wheel -----------------------------------------------------------------------------------------------------

@final
class Wheel(Generic[T]):
    """Hierarchical timing wheel: 1 ms, 6 levels of 64 slots, FIFO among equal deadlines."""

    def __new__(cls, now_ms: int) -> Wheel[T]: ...
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...
    def insert(self, deadline_ms: int, item: T) -> int:
        """A key for ``cancel`` and ``reset``; never reused while the wheel lives.

        A passed deadline fires at the next drain.
        """
    def insert_many(self, deadlines_ms: Sequence[int], items: Sequence[T]) -> list[int]: ...
    def cancel(self, key: int) -> T | None:
        """The item, or None when the key fired or was cancelled before."""
    def reset(self, key: int, deadline_ms: int) -> bool:
        """Moves a pending timer; False when there is none. It then ranks last among its new equals."""
    def drain(self, now_ms: int) -> list[T]:
        """Everything due, by deadline, FIFO among equals. Time never goes back: an earlier ``now_ms`` counts as now."""
    def next_deadline(self) -> int | None:
        """The earliest deadline pending, exact.

        At once, unless the earliest timer of its slot was cancelled or moved since: then one walk of that slot.
        """
    def clear(self) -> list[T]:
        """Everything pending, in the order of ``drain``."""
    def __len__(self) -> int: ...

# -- batcher ----------------------------------------------------------------------------------------------------------

@final
class Batcher(Generic[T]):
    """Closes a batch by count, by bytes, or by the age of its oldest item (never restarted by a later one).

    An item that would carry the open batch past ``size`` bytes closes it and begins the next: only a batch of one item
    is ever larger.
    """

    def __new__(cls, count: int, size: int, age_ms: int) -> Batcher[T]: ...
    def add(self, item: T, size: int, key: bytes | None, now_ms: int) -> bool:
        """True when a batch is ready to ``take``; there may be more than one."""
    def take(self, now_ms: int, *, force: bool = False) -> list[list[T]] | None:
        """The oldest closed batch (with ``force``, the open one where none is closed) as one run per key, each in
        order; None where none is ready. Items without a key form one run; runs are ordered by their first item."""
    def deadline(self) -> int | None:
        """When the open batch closes by age; None when it is empty."""
    def __len__(self) -> int:
        """Everything added and not yet taken."""
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...

# -- frames -----------------------------------------------------------------------------------------------------------

Unpacked = tuple[int, int, int, int, int, bytes, int, int, int, str, bytes | None, bytes | None, bytes | memoryview]
"""(kind, flags, codec, priority, schema_version, id, created_ms, due_ms, deadline_ms, type, key, ext, payload)"""

@final
class FrameError(ValueError):
    """Bytes that are no frame: ``code`` (a stable ``CTG-`` code), ``offset``."""

    def __new__(cls, message: object, code: str, offset: int) -> FrameError: ...
    def __init__(self, message: object, code: str, offset: int) -> None: ...
    @property
    def code(self) -> str: ...
    @property
    def offset(self) -> int: ...

def pack(
    kind: int,
    codec: int,
    priority: int,
    schema_version: int,
    id: bytes,
    created_ms: int,
    due_ms: int,
    deadline_ms: int,
    type: str,
    key: bytes | None,
    ext: bytes | None,
    payload: bytes | bytearray | memoryview,
    flags: int = 0,
    max_bytes: int = 16777216,
) -> bytes:
    """The frame of one message; what ``unpack`` would refuse is refused here first, as a ``FrameError``."""

def unpack(frame: bytes | bytearray | memoryview, max_bytes: int = 16777216) -> Unpacked:
    """One whole frame. A payload above 8 KiB is a memoryview of ``frame``, a smaller one a copy.

    Where ``frame`` is no ``bytes``, the view is of a copy of it: its owner may reuse or resize it at once.
    """

def unpack_many(
    frames: Sequence[bytes | bytearray | memoryview], max_bytes: int = 16777216
) -> list[Unpacked | FrameError]:
    """One call for a batch; a bad frame becomes its error in its own place and disturbs no neighbour."""

def split(buffer: bytes | bytearray | memoryview, max_bytes: int = 16777216) -> tuple[list[Unpacked], int]:
    """The whole frames at the start of a buffer, and how many bytes they took; a torn tail is left for the next read.

    Bad bytes end the list; they are raised as a ``FrameError`` by the call that begins at them, so no frame is lost.
    """

def crc32c(data: bytes | bytearray | memoryview, value: int = 0) -> int: ...

# -- ids --------------------------------------------------------------------------------------------------------------

@final
class Ids:
    """128-bit ids in the layout of UUIDv7, ordered within one generator even when the clock steps back."""

    def __new__(cls, seed: int) -> Ids: ...
    def next(self, now_ms: int) -> bytes: ...
    def many(self, count: int, now_ms: int) -> list[bytes]:
        """At most 2**20 in one call."""
    def reseed(self, seed: int) -> None:
        """After a fork, with a seed of the child's own: parent and child must never give the same id."""

@final
class Snowflake:
    """64-bit ids: 41 bits of ms since ``epoch_ms``, 10 of node, 12 of sequence; never waits, never steps back."""

    def __new__(cls, node: int, epoch_ms: int = 1735689600000) -> Snowflake: ...
    def next(self, now_ms: int) -> int: ...
    def many(self, count: int, now_ms: int) -> list[int]:
        """At most 2**20 in one call."""

# -- measures ---------------------------------------------------------------------------------------------------------

@final
class Histogram:
    """Log-linear histogram of integers, two significant digits, mergeable, fixed memory."""

    def __new__(cls) -> Histogram: ...
    def record(self, value: int) -> None: ...
    def record_many(self, values: Sequence[int]) -> None: ...
    def record_span(self, began: float, ended: float) -> None:
        """From one reading of a clock in seconds to a later one, in nanoseconds; a clock that stepped back gives 0."""
    def quantile(self, q: float) -> int:
        """The value at quantile 0..1, at most 1 % above the true one; 0 when empty."""
    def merge(self, other: Histogram) -> None: ...
    def buckets(self) -> list[tuple[int, int]]:
        """(upper bound inclusive, count) of every bucket that is not empty."""
    def reset(self) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def highest(self) -> int: ...

@final
class Counters:
    """A fixed row of 64-bit counters that any thread may add to."""

    def __new__(cls, size: int) -> Counters: ...
    def add(self, index: int, amount: int = 1) -> None: ...
    def read(self) -> list[int]: ...

# -- coroutines -------------------------------------------------------------------------------------------------------

@final
class Suspended:
    """A coroutine that waits for ``on``, which it gave to the loop."""

    @property
    def on(self) -> Any: ...

def first_step(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The coroutine's reply where it needs no second step, otherwise a ``Suspended``; raises what it raises."""
