"""The queue's rows in a SQLite file, as instances compete for them."""

import sqlite3
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from catga.backends.sqlite.lists import delete_rows
from catga.backends.sqlite.places import TURNS, last_turn, part_of, place
from catga.messages import NORMAL
from catga.ports.messages import Lease
from catga.queues import End, Row, Want

if TYPE_CHECKING:
    from catga.backends.sqlite.store import SqliteStore


class Cursor:
    """How far one claim of a part has been read. A read that is under way when the part is claimed anew moves the old one."""

    __slots__ = ("at", "base")

    def __init__(self, base: int) -> None:
        self.base: int = base
        self.at: int = base


class SqliteRows:
    """One channel's. Reads are short and in memory: they run on the loop's own thread."""

    def __init__(self, store: "SqliteStore", channel: str, fenced: bool) -> None:
        self._store = store
        self._fenced = fenced
        self._channel = store.names.number(channel)
        self._cursors: dict[int, Cursor] = {}

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

    async def begin(self, leases: Sequence[Lease]) -> Sequence[int]:
        """At the part's first row: what has ended is not there any more."""
        turn = self._store.database.read_here(last_turn)
        for lease in leases:
            self._cursors[lease.part] = Cursor(place(self._channel, NORMAL, lease.part))
        return [turn] * len(leases)

    async def read(
        self, wants: Sequence[Want], most: int, known: Collection[int]
    ) -> tuple[Sequence[Row], Collection[tuple[int, bool]]]:
        """Urgent rows of all parts in one step, as they stand together."""
        cursors = dict(self._cursors)

        def read(connection: sqlite3.Connection) -> tuple[list[Row], list[tuple[int, bool]]]:
            found, ended = self._urgent(connection, {part: room for part, urgent, room in wants if urgent}, known)
            if len(found) > most:
                return found[:most], []
            for part, urgent, room in wants:
                if urgent:
                    continue
                if len(found) >= most:
                    break
                cursor, room = cursors[part], min(room, most - len(found))
                rows = connection.execute(_WHOLE, (part, cursor.at, cursor.base + TURNS, room)).fetchall()
                if rows:
                    cursor.at = rows[-1][2]
                    found += rows
                if len(rows) < room:
                    ended.append((part, False))
            return found, ended

        return self._store.database.read_here(read)

    def _urgent(
        self, connection: sqlite3.Connection, rooms: dict[int, int], known: Collection[int]
    ) -> tuple[list[Row], list[tuple[int, bool]]]:
        wanted = sum(rooms.values()) + len(known)
        rows = connection.execute(
            _ROWS, (place(self._channel, 0, 0), place(self._channel, NORMAL, 0), wanted)
        ).fetchall()
        whole = len(rows) < wanted
        if not whole:
            # Parts of other instances may stand before ours.
            bases = [place(self._channel, rank, part) for rank in range(NORMAL) for part in rooms]
            rows = [row for at in bases for row in connection.execute(_ROWS, (at, at + TURNS, wanted)).fetchall()]
        left = dict(rooms)
        found: list[Row] = []
        for number, frame in rows:
            part = part_of(number)
            if left.get(part, 0) > 0 and number not in known:
                left[part] -= 1
                found.append((part, True, number, number % TURNS, frame, None))
        return found, [(part, True) for part, room in left.items() if room > 0]

    async def end(self, items: Sequence[tuple[int, Lease]]) -> Sequence[bool]:
        """See the port."""

        def end(connection: sqlite3.Connection) -> list[bool]:
            epochs: dict[tuple[str, int], int] = {}
            for scope in {lease.scope for _, lease in items}:
                found = connection.execute("select part, epoch from catga_leases where scope = ?", (scope,))
                epochs |= {(scope, part): epoch for part, epoch in found}
            # Leases of an app whose store is elsewhere were checked when it committed what it did.
            fresh = [not self._fenced or epochs.get((lease.scope, lease.part)) == lease.epoch for _, lease in items]
            gone = [token for (token, _), ours in zip(items, fresh, strict=True) if ours]
            delete_rows(connection, "delete from catga_queue where number in", gone)
            return fresh

        return await self._store.write(end) if items else []

    async def close(self) -> None:
        """Nothing was opened."""

    async def positions(self, ends: Sequence[End]) -> Sequence[str | None]:
        """None is kept: what is left begins where the table does."""
        return [None] * len(ends)


_ROWS = "select number, frame from catga_queue where number > ? and number < ? order by number limit ?"
_WHOLE = f"select ?1, false, number, number % {TURNS}, frame, null from catga_queue where number > ?2 and number < ?3 order by number limit ?4"
"""The same as whole rows, as they are handed on."""
