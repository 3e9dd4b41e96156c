"""What the suites share: how a test gets its stores, its clock and its loop."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import pytest

from catga.ports import Commit, Lease, Mark, Outcome, Outgoing, Parked, ParkedState, Store, Unit
from catga.testing.clock import SteeredClock, VirtualClock
from catga.testing.loop import run
from catga.transaction import Statement

CHANNEL = "orders"
HANDLER = "orders.place"
OTHER = "orders.mail"
DAY = 19_675

MakeStore = Callable[[], Store]


class Held(Protocol):
    """A commit that stands open: its rows have their numbers, and nobody sees them."""

    async def reached(self) -> None:
        """Waits until a commit stands open."""
        ...

    def release(self) -> None:
        """Lets it end."""
        ...


HoldCommit = Callable[[Store], AbstractAsyncContextManager[Held]]


class Opening(Protocol):
    """What a test opens."""

    async def open(self) -> None:
        """Before it is used."""
        ...

    async def close(self) -> None:
        """After that."""
        ...


R = TypeVar("R", bound=Opening)


class Opened(Generic[R]):
    """Opens stores, blobs or buses for one test, and closes them after it."""

    def __init__(self, make: Callable[[], R]) -> None:
        self._make = make
        self._open: list[R] = []

    async def open(self) -> R:
        """Another instance on the same data."""
        one = self._make()
        await one.open()
        self._open.append(one)
        return one

    async def close(self) -> None:
        """All of them."""
        for one in reversed(self._open):
            await one.close()
        self._open.clear()


class Stores(Opened[Store]):
    """With the names of the suites declared."""

    async def open(self) -> Store:
        """Another instance on the same data."""
        store = await super().open()
        await store.declare([CHANNEL, "other", HANDLER, OTHER, ""])
        return store


@runtime_checkable
class Closing(Protocol):
    """A fixture that a test's loop closes after it."""

    async def close(self) -> None:
        """Ends what was opened."""
        ...


class Conformance:
    """The base of the suites. `async` tests of a subclass run on a loop of their own."""

    lease_ttl: float = 10.0
    """Seconds; a suite whose clock really waits makes it short."""

    log: bool = False
    """Rows of the queue stay when they have ended, and a position says how far they have: what ended behind one that has not
    comes again."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, value in list(vars(cls).items()):
            if name.startswith("test") and inspect.iscoroutinefunction(value):
                setattr(cls, name, _on_a_loop(value))

    @pytest.fixture
    def clock(self) -> SteeredClock:
        """The clock of the stores; virtual unless overridden."""
        return VirtualClock()

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Override: a function that gives another store object on the same data."""
        raise NotImplementedError("override the fixture make_store")

    @pytest.fixture
    def stores(self, make_store: MakeStore) -> Stores:
        """What tests open their stores with."""
        return Stores(make_store)

    @pytest.fixture
    def hold_commit(self) -> HoldCommit | None:
        """Override where commits of a backend can overlap: holds the next commit of a store open."""
        return None


def _on_a_loop(test: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(test)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        async def main() -> None:
            try:
                await test(*args, **kwargs)
            finally:
                for value in kwargs.values():
                    if isinstance(value, Closing):
                        await value.close()

        run(main())

    return wrapped


# -- what tests are made of -------------------------------------------------------------------------------------------


def id_of(number: int) -> bytes:
    """Sixteen bytes."""
    return number.to_bytes(16, "big")


def message(
    number: int, key: bytes | None = None, part: int = 0, priority: int = 4, channel: str = CHANNEL, turn: int = 0
) -> Outgoing:
    """A message whose frame says its number; that of another `turn` is another message."""
    return Outgoing(id_of(turn << 64 | number), channel, part, key, priority, 0, b"%d" % number)


def numbers(items: Sequence[Any]) -> list[int]:
    """Of messages, deliveries or parked rows: what their frames say."""
    return [int(item.frame) for item in items]


def mark(number: int, handler: str = HANDLER, **more: Any) -> Mark:
    """The inbox's row of one message."""
    return Mark(DAY, handler, id_of(number), **more)


def parked(
    number: int,
    state: ParkedState = ParkedState.RETRY,
    due_ms: int = 0,
    key: bytes | None = None,
    handler: str = HANDLER,
    part: int = 0,
    **more: Any,
) -> Parked:
    """A row that waits."""
    return Parked(handler, id_of(number), CHANNEL, part, key, state, due_ms, b"%d" % number, **more)


def bad() -> Statement:
    """A statement that fails on every store."""
    return Statement("insert into no_such_table values (?)", (1,))


def fates(outcomes: Sequence[Outcome]) -> list[Commit]:
    """Without their errors."""
    return [outcome.commit for outcome in outcomes]


async def committed(store: Store, *units: Unit) -> None:
    """Commits units that must all succeed."""
    outcomes = await store.commit(units)
    assert fates(outcomes) == [Commit.COMMITTED] * len(units), outcomes


async def marked(store: Store, *wanted: int, handler: str = HANDLER) -> list[int]:
    """Which of these messages have a mark."""
    known = await store.known({(DAY, handler): [id_of(number) for number in wanted]})
    return [number for number in wanted if (handler, id_of(number)) in known]


async def lease_on(store: Store, part: int = 0, owner: str = "a", ttl: float = 10.0, scope: str = CHANNEL) -> Lease:
    """Claims all that is free and gives the lease of one part."""
    share = await store.claim(scope, owner, 16, ttl)
    return next(lease for lease in share.leases if lease.part == part)


async def rounds(count: int) -> None:
    """Lets the loop turn so many times."""
    for _ in range(count):
        await asyncio.sleep(0)
