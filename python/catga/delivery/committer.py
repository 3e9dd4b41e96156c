"""The committer: whatever is ready shares the next commit."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from catga.errors import AppClosed
from catga.ports.store import Outcome, Store, Unit

MOST = 512
"""Units in one commit: enough to pay for it, few enough that nobody waits long for the write lock."""


class Committer:
    """One commit at a time; what arrives meanwhile forms the next group, so that groups grow with the load. `committed` hears
    of each."""

    def __init__(self, store: Store, committed: Callable[[Sequence[Unit]], None]) -> None:
        self._store = store
        self._committed = committed
        self._waiting: deque[tuple[Sequence[Unit], asyncio.Future[Sequence[Outcome]]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        """Commits units together, in order, perhaps with others'; an outcome for each. A cancelled caller does not
        take them back."""
        if self._closed:
            raise AppClosed("the app has stopped; this was not committed", fix="ask a running instance")
        future: asyncio.Future[Sequence[Outcome]] = asyncio.get_running_loop().create_future()
        self._waiting.append((units, future))
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="catga-committer")
        return await future

    async def close(self) -> None:
        """Commits what was submitted; refuses the rest."""
        self._closed = True
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _work(self) -> None:
        while self._waiting:
            group = [self._waiting.popleft()]
            size = len(group[0][0])
            while self._waiting and size + len(self._waiting[0][0]) <= MOST:
                group.append(self._waiting.popleft())
                size += len(group[-1][0])
            together = [unit for units, _ in group for unit in units]
            try:
                outcomes = await self._store.commit(together)
            except BaseException as error:
                for _, future in group:
                    if not future.done():
                        future.set_exception(error)
                if not isinstance(error, Exception):
                    raise
            else:
                self._committed(together)
                start = 0
                for units, future in group:
                    if not future.done():
                        future.set_result(outcomes[start : start + len(units)])
                    start += len(units)
        self._task = None
