"""Dead letters: the messages that were given up, and the ways back."""

import math
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from catga import _core
from catga.backends import open_backend
from catga.clock import Clock, SystemClock, sleep
from catga.deadletters.groups import Group, fingerprint, grouped
from catga.errors import InvalidArgument
from catga.messages import NORMAL
from catga.ports.messages import Outgoing
from catga.ports.store import Commit, Parked, ParkedState, Store, Unit

PAGE: Final = 200
"""Rows that are replayed or purged in one commit."""

Progress = Callable[[int], object]
"""Told, commit after commit, how many were done so far."""


class DeadLetters:
    """Looks at the dead letters of a store, puts them back to work or throws them away.

    Every instance of an app, and the command line, may do so at once. Rows should be fresh: one that somebody else has
    replayed since waits again in its place, and a purge would take it from there.

    >>> async def mend() -> int:
    ...     async with DeadLetters.open("sqlite:///orders.db") as letters:
    ...         return await letters.replay_all("orders.mail")
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @classmethod
    @asynccontextmanager
    async def open(
        cls, store: Any, *, transport: Any = None, clock: Clock | None = None
    ) -> "AsyncGenerator[DeadLetters, None]":
        """Of a store's URL, or of a store that may be open already. `transport` is that of the app: where it is another
        than the store's own queue, bytes that found no handler go back to it through the outbox."""
        clock = clock or SystemClock()
        opened: Store = open_backend("store", store, clock)
        carrier = open_backend("transport", transport, clock)
        await opened.open()
        try:
            if (
                carrier is None
                or not carrier.capabilities.accepts_durably
                or carrier.capabilities.store_id == opened.store_id
            ):
                opened.queue()
            yield cls(opened, clock)
        finally:
            await opened.close()

    async def newest(self, most: int = 100, handler: str | None = None) -> Sequence[Parked]:
        """Up to `most` of them; of one handler, where its id is given. Nothing is decoded."""
        return await self._store.dead(most, handler)

    async def find(self, message: str, handler: str | None = None) -> Sequence[Parked]:
        """Those of one message: one for each handler that gave it up. `message` is its id, or the beginning of one."""
        wanted = message.lower()
        most = PAGE
        while True:
            rows = await self._store.dead(most, handler)
            found = [row for row in rows if row.id.hex().startswith(wanted)]
            if len(rows) < most or any(row.id.hex() == wanted for row in found):
                return found
            most *= 4

    async def groups(self, handler: str | None = None, most: int = 10_000) -> list[Group]:
        """What the newest `most` of them died of, the largest group first."""
        return grouped(await self._store.dead(most, handler))

    async def replay(
        self, rows: Sequence[Parked], *, rate: float | None = None, progress: Progress | None = None
    ) -> int:
        """Back to work, with all tries before them; how many were still there. One whose handler is not known goes
        through the queue again, to whoever knows it by now.

        `rate` is the most in a second. Each commit is whole: whoever is interrupted has replayed what was counted, and may
        begin again.
        """
        return await self._end(rows, self._again, _Pace(self._clock, rate, progress))

    async def replay_all(
        self,
        handler: str | None = None,
        *,
        group: str | None = None,
        rate: float | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Each dead letter once, of one handler or with one fingerprint where these are given: one that dies again meanwhile
        stays."""
        return await self._end_all(handler, group, self._again, _Pace(self._clock, rate, progress))

    async def purge(self, rows: Sequence[Parked]) -> int:
        """Throws them away; how many were still there. Their marks stay: a late copy of the message changes nothing."""
        return await self._end(rows, _drop, _Pace(self._clock))

    async def purge_all(self, handler: str | None = None, *, group: str | None = None) -> int:
        """Throws all of them away, or those of one handler or with one fingerprint."""
        return await self._end_all(handler, group, _drop, _Pace(self._clock))

    async def _end_all(
        self, handler: str | None, group: str | None, unit_of: Callable[[Parked], Unit], pace: "_Pace"
    ) -> int:
        seen: set[tuple[str, bytes]] = set()
        # What died again stands first: asking for more than was seen reaches those behind it.
        while rows := [
            row for row in await self._store.dead(len(seen) + PAGE, handler) if (row.handler, row.id) not in seen
        ]:
            seen.update((row.handler, row.id) for row in rows)
            await self._end([row for row in rows if group in (None, fingerprint(row))], unit_of, pace)
        return pace.done

    async def _end(self, rows: Sequence[Parked], unit_of: Callable[[Parked], Unit], pace: "_Pace") -> int:
        for start in range(0, len(rows), pace.page):
            page = rows[start : start + pace.page]
            count = 0
            for outcome in await self._store.commit([unit_of(row) for row in page]):
                if outcome.error is not None:
                    raise outcome.error
                count += outcome.commit is Commit.COMMITTED
            await pace.keep(count)
        return pace.done

    def _again(self, row: Parked) -> Unit:
        place = (row.handler, row.id)
        now = self._clock.wall_ms()
        if not row.handler:
            return Unit(unpark=[place], publish=[_outgoing(row, now)])
        return Unit(
            unpark=[place],
            park=[msgspec.structs.replace(row, state=ParkedState.RETRY, due_ms=now, failures=0, claims=0)],
        )


class _Pace:
    """How fast, and how far."""

    def __init__(self, clock: Clock, rate: float | None = None, progress: Progress | None = None) -> None:
        if rate is not None and not rate > 0:
            raise InvalidArgument(f"a rate of {rate} messages a second", fix="give more than 0, or none for no limit")
        self._clock = clock
        self._rate = rate
        self._progress = progress
        self.page: int = PAGE if rate is None else max(1, min(PAGE, math.floor(rate / 4)))
        """Small enough that a second has several."""
        self.done: int = 0

    async def keep(self, count: int) -> None:
        self.done += count
        if self._progress is not None:
            self._progress(self.done)
        if self._rate is not None and count:
            await sleep(self._clock, count / self._rate)


def _drop(row: Parked) -> Unit:
    return Unit(unpark=[(row.handler, row.id)])


def _outgoing(row: Parked, now: int) -> Outgoing:
    try:
        _, _, _, priority, _, message, _, due, _, _, key, _, _ = _core.unpack(row.frame)
    except _core.FrameError:
        # Bytes that are no frame come back as they went: perhaps a newer release can read them.
        return Outgoing(row.id, row.channel, row.part, row.key, NORMAL, now, row.frame)
    return Outgoing(message, row.channel, row.part, key, priority, due, row.frame)
