"""`MemoryStore`: the store port in this process's memory."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from catga.backends.memory.data import Data, shared
from catga.backends.memory.options import MemoryOptions
from catga.clock import Bell, Clock
from catga.errors import AppClosed, ForbiddenStatement, StoreFull
from catga.ports.messages import Lease, Outgoing
from catga.ports.store import COMMITTED, Mark, Outcome, Parked, Share, Unit, Waiting
from catga.transaction import Connection, Row

if TYPE_CHECKING:
    from catga.backends.memory.queue import MemoryTransport

T = TypeVar("T")

Hold = Callable[[Sequence[Unit]], Awaitable[object]]


class MemoryStore:
    """As strict as a store that keeps something: commits overlap, marks are unique, epochs are checked, leases expire.
    What it holds is gone with its last object, and it has no tables.

    `hold` is for tests: it is awaited by each commit after its rows have taken their numbers and before anybody sees
    them, so that a later commit can be made to end first.
    """

    tables: bool = False

    def __init__(self, options: MemoryOptions, clock: Clock, hold: Hold | None = None) -> None:
        self.options = options
        self.clock = clock
        self.data: Data = shared(options.name) if options.name else Data()
        self.store_id: str = self.data.store_id
        self.lease: float = options.lease
        self.bell: Bell = Bell(clock)
        self.hold = hold
        self._queued = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._users = 0

    async def open(self) -> None:
        """Idempotent: the app and its transport share it."""
        self.data.check()
        self.data.join(self.bell)
        self._users += 1

    async def close(self) -> None:
        """After the last user's close. What a store object holds stays until the object goes."""
        if self._users == 0:
            return
        self._users -= 1
        if self._users == 0:
            if self._tasks:
                await asyncio.wait(self._tasks)
            self.data.leave(self.bell)

    def queue(self) -> "MemoryTransport":
        """From now on what units publish goes to this store's own queue, and no relay is needed."""
        from catga.backends.memory.queue import MemoryTransport

        self._queued = True
        return MemoryTransport(self)

    async def rename(self, aliases: Mapping[str, str]) -> None:
        """See the port."""
        self._data().rename(aliases)

    async def declare(self, names: Sequence[str]) -> None:
        """Nothing to do: names are not made smaller here."""

    async def commit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        """See the port."""
        return await self._apart(self._commit(self._data(), units))

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        """Into the queue, whatever units do."""
        await self._apart(self._commit(self._data(), [Unit(publish=batch)], queued=True))

    async def exclusive(
        self, work: Callable[[Connection], Awaitable[T]], unit_of: Callable[[T], Unit]
    ) -> tuple[T, Unit, Outcome]:
        """Refused: there is no driver and no connection."""
        raise ForbiddenStatement(
            "memory:// has no connection to give",
            where=self.store_id,
            why="it keeps no tables",
            fix="use sqlite:///app.db where handlers ask for a Connection",
        )

    async def fetch(self, sql: str, args: tuple[Any, ...]) -> Sequence[Row]:
        """Refused: there are no tables."""
        raise ForbiddenStatement(
            "memory:// keeps no tables", where=sql, fix="use sqlite:///app.db where handlers read and write"
        )

    # -- inbox --------------------------------------------------------------------------------------------------------

    async def known(self, wanted: Mapping[tuple[int, str], Sequence[bytes]]) -> set[tuple[str, bytes]]:
        """See the port."""
        data = self._data()
        return {(name, each) for (day, name), ids in wanted.items() for each in ids if data.mark(day, name, each)}

    async def mark(self, day: int, handler: str, id: bytes) -> Mark | None:
        """See the port."""
        return self._data().mark(day, handler, id)

    async def forget(self, before_day: int) -> None:
        """See the port."""
        self._data().forget(before_day)

    # -- leases -------------------------------------------------------------------------------------------------------

    async def claim(self, scope: str, owner: str, parts: int, ttl: float, *, anew: bool = False) -> Share:
        """See the port."""
        return self._data().leases.claim(scope, owner, parts, ttl, self.clock.monotonic(), anew)

    async def release(self, scope: str, owner: str, leases: Sequence[Lease], leave: bool = False) -> None:
        """See the port."""
        self._data().leases.release(scope, owner, leases, leave)

    async def clear(self, leases: Sequence[Lease]) -> None:
        """See the port."""
        self._data().leases.clear(leases)

    async def alone(self, lease: Lease, token: int | bytes) -> int:
        """See the port."""
        return self._data().leases.alone(lease, token)

    async def positions(self, scope: str, parts: Sequence[int]) -> Mapping[int, str]:
        """See the port."""
        return self._data().leases.positions(scope, parts)

    async def advance(self, owner: str, positions: Sequence[tuple[Lease, str]]) -> None:
        """See the port."""
        self._data().leases.advance(owner, positions)

    # -- outbox -------------------------------------------------------------------------------------------------------

    async def outbox(self, leases: Sequence[Lease], most: int) -> Sequence[Outgoing]:
        """In the order in which they became visible: the order of their numbers would lose rows."""
        data = self._data()
        found: list[Outgoing] = []
        for lease in leases:
            found += [row.message for row in data.unsent(lease.part).first(most - len(found))]
        return found

    async def sent(self, leases: Sequence[Lease], rows: Sequence[Outgoing]) -> Collection[int]:
        """See the port."""
        data = self._data()
        held = {lease.part for lease in leases if data.leases.holds(lease)}
        for part in held:
            data.sent(part, [row.id for row in rows if row.part == part])
        return {lease.part for lease in leases} - held

    # -- parked -------------------------------------------------------------------------------------------------------

    async def due(self, channel: str, parts: Sequence[int], now_ms: int, most: int) -> Sequence[Parked]:
        """See the port."""
        return self._data().parked.due(channel, parts, now_ms, most)

    async def followers(self, channel: str, part: int, handler: str, key: bytes, most: int) -> Sequence[Parked]:
        """See the port."""
        return self._data().parked.followers(channel, part, handler, key, most)

    async def waiting(self, channel: str, parts: Sequence[int]) -> Sequence[Waiting]:
        """See the port."""
        return self._data().parked.waiting(channel, parts)

    async def dead(self, most: int, handler: str | None = None) -> Sequence[Parked]:
        """See the port."""
        return self._data().parked.dead(most, handler)

    async def next_due(self) -> int | None:
        """See the port."""
        return self._data().parked.next_due()

    async def pending(self) -> int:
        """See the port."""
        return self._data().pending()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _data(self) -> Data:
        if self._users == 0:
            raise AppClosed("the store is not open", where=self.store_id, fix="await store.open() first")
        self.data.check()
        return self.data

    async def _apart(self, work: Coroutine[Any, Any, T]) -> T:
        # A task of its own, as in a store whose commit takes time: others run meanwhile, and cancelling the caller does
        # not stop it.
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # heard, also where its caller was cancelled

    async def _commit(self, data: Data, units: Sequence[Unit], queued: bool = False) -> list[Outcome]:
        rows = [data.number(unit.publish) for unit in units]
        if self.hold is not None:
            await self.hold(units)
        more = sum(len(unit.publish) + len(unit.park) - len(unit.settle) - len(unit.unpark) for unit in units)
        if more > 0 and data.waiting() + more > self.options.capacity:
            raise StoreFull(
                "the memory store is full",
                where=self.store_id,
                why=f"{self.options.capacity} messages wait",
                fix="handle them faster, or raise capacity",
            )
        outcomes = [data.apply(unit, new, queued or self._queued) for unit, new in zip(units, rows, strict=True)]
        if any(outcome is COMMITTED and unit.publish for unit, outcome in zip(units, outcomes, strict=True)):
            data.ring()
        return outcomes
