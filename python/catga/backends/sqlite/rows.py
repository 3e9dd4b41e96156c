"""The queue's rows in a SQLite file, as instances compete for them."""

import sqlite3
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from catga.backends.sqlite.lists import chunks, delete_rows
from catga.backends.sqlite.places import TURNS, last_turn, part_of, place
from catga.messages import NORMAL
from catga.ports.messages import Lease
from catga.queues import Row

if TYPE_CHECKING:
    from catga.backends.sqlite.store import SqliteStore


class SqliteRows:
    """One channel's. Reads are short and in memory: they run on the loop's own thread."""

    def __init__(self, store: "SqliteStore", channel: str) -> None:
        self._store = store
        self._channel = store.names.number(channel)

    def version(self) -> int:
        """Of the file: it changes with every commit of another connection, our own writer's included."""
        return self._store.database.version()

    async def changed(self, version: int, seconds: float) -> None:
        """Between processes a commit is noticed by polling."""
        clock, poll = self._store.clock, self._store.options.poll
        until = clock.monotonic() + seconds
        while self.version() == version and (left := until - clock.monotonic()) > 0:
            if await self._store.bell.wait(min(left, poll)):
                return

    def wake(self) -> None:
        """Ends every wait in this process."""
        self._store.bell.ring()

    async def ordered(self, part: int, after: int, most: int) -> Sequence[Row]:
        """See the port."""
        base = place(self._channel, NORMAL, part)
        return self._store.database.read_here(lambda connection: _rows(connection, part, base, max(base, after), most))

    async def urgent(self, parts: Sequence[int], most: int) -> Sequence[Row]:
        """Of all parts in one step, as they stand together."""

        def read(connection: sqlite3.Connection) -> list[Row]:
            range_ = place(self._channel, 0, 0), place(self._channel, NORMAL, 0), most
            rows = connection.execute(_ROWS, range_).fetchall()
            if len(rows) < most:
                return [(part, number, number, frame) for number, frame in rows if (part := part_of(number)) in parts]
            # Parts of other instances may stand before ours.
            found: list[Row] = []
            for rank in range(NORMAL):
                for part in parts:
                    base = place(self._channel, rank, part)
                    found += _rows(connection, part, base, base, most - len(found))
            return found

        return self._store.database.read_here(read)

    async def latest(self, part: int) -> int:
        """See the port."""
        return place(self._channel, NORMAL, part) + self._store.database.read_here(last_turn)

    async def end(self, items: Sequence[tuple[int, Lease, bool]]) -> Sequence[bool]:
        """See the port."""

        def end(connection: sqlite3.Connection) -> list[bool]:
            epochs: dict[tuple[str, int], int] = {}
            for scope in {lease.scope for _, lease, _ in items}:
                found = connection.execute("select part, epoch from catga_leases where scope = ?", (scope,))
                epochs |= {(scope, part): epoch for part, epoch in found}
            fresh = [epochs.get((lease.scope, lease.part)) == lease.epoch for _, lease, _ in items]
            gone = [token for (token, _, gone), ours in zip(items, fresh, strict=True) if ours and gone]
            delete_rows(connection, "delete from catga_queue where number in", gone)
            return fresh

        return await self._store.write(end) if items else []

    async def exist(self, tokens: Collection[int]) -> bool:
        """See the port."""

        def exist(connection: sqlite3.Connection) -> bool:
            return any(
                connection.execute(f"select 1 from catga_queue where number in {marks} limit 1", chunk).fetchone()
                is not None
                for marks, chunk in chunks(sorted(tokens))
            )

        return self._store.database.read_here(exist)

    async def alone(self, lease: Lease, token: int) -> int:
        """See the port."""
        return await self._store.alone(lease, token)


_ROWS = "select number, frame from catga_queue where number > ? and number < ? order by number limit ?"


def _rows(connection: sqlite3.Connection, part: int, base: int, after: int, most: int) -> list[Row]:
    return [(part, number, number, frame) for number, frame in connection.execute(_ROWS, (after, base + TURNS, most))]
