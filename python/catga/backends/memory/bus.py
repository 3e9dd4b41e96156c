"""`MemoryBus`: live messages within one process."""

import asyncio
from collections import deque
from weakref import WeakValueDictionary

from catga.backends.users import Users
from catga.errors import AppClosed
from catga.ports.bus import Hear, Reply, Topic, no_answer

MOST = 65_536
"""Messages that wait for one listener; more are dropped, as a broker does it."""


class Ear:
    """One listener, and what waits for it."""

    def __init__(self, group: str | None, hear: Hear) -> None:
        self.group: str | None = group
        self.missed: int = 0
        self._hear = hear
        self._waiting: deque[bytes] = deque()
        self._some = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._work(), name="catga-memory-bus")

    def put(self, frame: bytes) -> None:
        """Heard soon."""
        if len(self._waiting) >= MOST:
            self.missed += 1
            return
        self._waiting.append(frame)
        self._some.set()

    async def close(self) -> None:
        """When what waits has been heard."""
        self._closing = True
        self._some.set()
        await asyncio.wait([self._task])

    async def _work(self) -> None:
        while not self._closing or self._waiting:
            await self._some.wait()
            frames = list(self._waiting)
            self._waiting.clear()
            await self._hear(frames)
            if not self._closing:
                self._some.clear()


class Line:
    """What one name stands for in this process."""

    def __init__(self) -> None:
        self.ears: dict[Topic, list[Ear]] = {}
        self.mouths: dict[Topic, deque[Reply]] = {}
        self._turns: dict[tuple[Topic, str], int] = {}

    def tell(self, topic: Topic, frame: bytes) -> None:
        """To everybody, and to one of each group in turn."""
        groups: dict[str, list[Ear]] = {}
        for ear in self.ears.get(topic, ()):
            if ear.group is None:
                ear.put(frame)
            else:
                groups.setdefault(ear.group, []).append(ear)
        for group, ears in groups.items():
            turn = self._turns.get((topic, group), 0)
            self._turns[topic, group] = turn + 1
            ears[turn % len(ears)].put(frame)

    async def ask(self, topic: Topic, frame: bytes) -> bytes:
        """Of those that answer, each in turn."""
        mouths = self.mouths.get(topic)
        if not mouths:
            raise no_answer(topic)
        mouths.rotate(-1)
        # What answers goes on when the asker does not wait any more, as in another process.
        return await asyncio.shield(asyncio.ensure_future(mouths[-1](frame)))


_lines: WeakValueDictionary[str, Line] = WeakValueDictionary()


class MemoryBus:
    """`memory://name` is shared by the apps of one process, `memory://` is one app's own."""

    def __init__(self, name: str) -> None:
        self.max_bytes: int = 512 * 1024 * 1024
        self._line = _lines.setdefault(name, Line()) if name else Line()
        self._ours: list[tuple[Topic, Ear]] = []
        self._answering: list[tuple[Topic, Reply]] = []
        self._users = Users()
        self._open = False

    async def open(self) -> None:
        """See the port."""
        await self._users.join(self._begin)

    async def close(self) -> None:
        """See the port."""
        await self._users.leave(self._end)

    async def tell(self, topic: Topic, frame: bytes) -> None:
        """See the port."""
        if not self._open:
            raise _closed()
        self._line.tell(topic, frame)

    async def listen(self, topic: Topic, group: str | None, hear: Hear) -> None:
        """See the port."""
        ear = Ear(group, hear)
        self._ours.append((topic, ear))
        self._line.ears.setdefault(topic, []).append(ear)

    async def ask(self, topic: Topic, frame: bytes, seconds: float) -> bytes:
        """See the port; the asker keeps the time."""
        if not self._open:
            raise _closed()
        return await self._line.ask(topic, frame)

    async def answer(self, topic: Topic, reply: Reply) -> None:
        """See the port."""
        self._line.mouths.setdefault(topic, deque()).append(reply)
        self._answering.append((topic, reply))

    def missed(self) -> int:
        """See the port."""
        return sum(ear.missed for _, ear in self._ours)

    async def _begin(self) -> None:
        self._open = True

    async def _end(self) -> None:
        self._open = False
        answering, self._answering = self._answering, []
        for topic, reply in answering:
            self._line.mouths[topic].remove(reply)
        ours, self._ours = self._ours, []
        for topic, ear in ours:
            self._line.ears[topic].remove(ear)
        for _, ear in ours:
            await ear.close()


def _closed() -> AppClosed:
    return AppClosed("the bus is not open", where="memory://", fix="await bus.open() first")
