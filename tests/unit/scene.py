"""Durable apps under virtual time, on a store in memory: what takes hours takes no time, and crashes kill no process."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from catga import Catga
from catga.backends.memory import MemoryOptions, MemoryStore, MemoryTransport
from catga.ports.messages import Lease, Outgoing
from catga.ports.store import Outcome, Parked, Unit
from catga.ports.transport import Sent
from catga.testing import VirtualClock
from catga.testing.clock import VirtualTimer

T = TypeVar("T")

_names = itertools.count()


class Faulty(MemoryStore):
    """Fails where and as often as it is told to: each list holds what the next calls raise. `written` is raised by a
    commit after it was written, as when the word of it was lost. `commit` is of what was handled, `settle` of what only
    ends deliveries or buries them. It says that it has tables, so that handlers may ask for a `Transaction`; what they
    write is refused."""

    tables: bool = True

    def __init__(self, options: MemoryOptions, clock: VirtualClock) -> None:
        super().__init__(options, clock)
        self.faults: dict[str, list[Exception]] = {}

    def _fail(self, call: str) -> None:
        if self.faults.get(call):
            raise self.faults[call].pop(0)

    async def commit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        handled = any(unit.marks for unit in units)
        if handled:
            self._fail("commit")
        elif any(unit.park or unit.settle for unit in units):
            self._fail("settle")
        outcomes = await super().commit(units)
        if handled:
            self._fail("written")
        return outcomes

    async def known(self, wanted: Mapping[tuple[int, str], Sequence[bytes]]) -> set[tuple[str, bytes]]:
        self._fail("known")
        return await super().known(wanted)

    async def due(self, channel: str, parts: Sequence[int], now_ms: int, most: int) -> Sequence[Parked]:
        self._fail("due")
        return await super().due(channel, parts, now_ms, most)

    async def outbox(self, leases: Sequence[Lease], most: int) -> Sequence[Outgoing]:
        self._fail("outbox")
        return await super().outbox(leases, most)

    async def alone(self, lease: Lease, token: int) -> int:
        self._fail("alone")
        return await super().alone(lease, token)


class Elsewhere(MemoryTransport):
    """A queue that is not the app's store and says that it keeps what it takes: a relay carries commits to it."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.kept = store
        self.capabilities = msgspec.structs.replace(self.capabilities, accepts_durably=True)
        self.answers: list[Exception | Sequence[Sent]] = []
        """What the next publications raise, or answer without having taken what they do not call accepted."""
        self.published: list[int] = []
        """How many rows each of them had."""

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Sent]:
        self.published.append(len(batch))
        if not self.answers:
            return await super().publish(batch)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        await super().publish([row for row, sent in zip(batch, answer, strict=True) if sent is Sent.ACCEPTED])
        return answer


class CountingClock(VirtualClock):
    """Knows how many timers were set."""

    def __init__(self) -> None:
        super().__init__()
        self.timers = 0

    def call_at(self, when: float, call: Callable[[], object]) -> VirtualTimer:
        self.timers += 1
        return super().call_at(when, call)


class Scene:
    """A clock, and a store that outlives the apps on it."""

    def __init__(self) -> None:
        self.clock = CountingClock()
        self.options = MemoryOptions(name=f"scene-{next(_names)}")
        self._keeper = MemoryStore(self.options, self.clock)
        self._seeds = itertools.count()

    def store(self) -> Faulty:
        """Another object on the same data, as another process has."""
        return Faulty(self.options, self.clock)

    def elsewhere(self) -> Elsewhere:
        """A queue beside the store."""
        return Elsewhere(Faulty(MemoryOptions(), self.clock))

    def app(self, name: str = "scene", **options: Any) -> Catga:
        """Not started."""
        options.setdefault("store", self.store())
        # Each has ids of its own, as each process has.
        options.setdefault("entropy", random.Random(next(self._seeds)))
        return Catga(name, clock=self.clock, **options)

    @asynccontextmanager
    async def running(self, app: Catga) -> AsyncIterator[Catga]:
        """Started, and stopped after."""
        await self.clock.run(app.start())
        try:
            yield app
        finally:
            await self.clock.run(app.stop())

    async def run(self, awaitable: Awaitable[T], most: float = 3600.0) -> T:
        """Awaits it while time passes."""
        return await self.clock.run(awaitable, most)

    async def start(self, app: Catga) -> Collection[asyncio.Task[Any]]:
        """What was there before it, for `crash`."""
        before = asyncio.all_tasks()
        await self.run(app.start())
        return before

    async def crash(self, before: Collection[asyncio.Task[Any]]) -> None:
        """Whatever runs and did not run before ends without a word: nothing is given back. Then its leases run out."""
        tasks = asyncio.all_tasks() - {*before, asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self.clock.advance(self.options.lease * 1.5)

    async def dead(self) -> Sequence[Parked]:
        """The dead letters, the newest first."""
        store = self.store()
        await store.open()
        try:
            return await store.dead(100)
        finally:
            await store.close()
