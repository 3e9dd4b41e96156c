"""Reading the parked rows: due retries, their followers, schedules, dead letters."""

from collections.abc import Callable, Sequence
from typing import Any

from catga.ports.store import Parked, ParkedState, Waiting
from catga.sql.dialect import Dialect, marks
from catga.sql.procedures import Ask, Procedure

COLUMNS = "handler, id, channel, part, key, state, due_ms, frame, claims, failures, reason, history, place"
WIDTH = 13


class ParkedRows:
    """Handlers and channels are numbers in the table; `text` gives the name of one."""

    def __init__(self, dialect: Dialect, text: Callable[[int], str]) -> None:
        self._parked = f"{dialect.prefix}parked"
        self._text = text

    def due(self, channel: int, parts: Sequence[int], now_ms: int, most: int) -> Procedure[list[Parked]]:
        """Retries and schedules whose time has come, oldest due first."""
        found: list[Parked] = []
        if parts:
            for state in ("retry", "scheduled"):
                rows = yield Ask(
                    f"select {COLUMNS} from {self._parked} where channel = ? and state = ? and due_ms <= ? and part in {marks(len(parts))} order by due_ms, place limit ?",
                    (channel, state, now_ms, *parts, most),
                )
                found += map(self._row, rows)
        return sorted(found, key=lambda row: (row.due_ms, row.order))[:most]

    def followers(self, channel: int, part: int, handler: int, key: bytes, most: int) -> Procedure[list[Parked]]:
        """The blocked rows at the front of a key's queue; dead letters that do not block are passed over."""
        rows = yield Ask(
            f"select {COLUMNS} from {self._parked} where handler = ? and channel = ? and part = ? and key = ? and (state <> 'dead' or due_ms < 0) order by place limit ?",
            (handler, channel, part, key, most),
        )
        found: list[Parked] = []
        for row in map(self._row, rows):
            if row.state is not ParkedState.BLOCKED:
                break
            found.append(row)
        return found

    def waiting(self, channel: int, parts: Sequence[int]) -> Procedure[list[Waiting]]:
        """Rows that later messages of their key must wait behind."""
        if not parts:
            return []
        rows = yield Ask(
            f"select handler, key, part, id, state from {self._parked} where channel = ? and part in {marks(len(parts))} and key is not null"
            " and (state in ('retry', 'blocked') or (state = 'dead' and due_ms < 0)) order by place",
            (channel, *parts),
        )
        return [Waiting(self._text(handler), key, part, id, state == "dead") for handler, key, part, id, state in rows]

    def dead(self, most: int, handler: int | None) -> Procedure[list[Parked]]:
        """Newest first."""
        only, args = ("", ()) if handler is None else ("and handler = ?", (handler,))
        rows = yield Ask(
            f"select {COLUMNS} from {self._parked} where state = 'dead' {only} order by place desc limit ?",
            (*args, most),
        )
        return [self._row(row) for row in rows]

    def next_due(self) -> Procedure[int | None]:
        """The earliest time in the table."""
        ((due,),) = yield Ask(f"select min(due_ms) from {self._parked} where state in ('retry', 'scheduled')")
        return due  # type: ignore[no-any-return]

    def pending(self) -> Procedure[int]:
        """Those that wait for a retry, or for one that does; counted only as far as it matters. What waits behind a dead
        letter that blocks waits for somebody to look at it."""
        table = self._parked
        ((count,),) = yield Ask(
            f"select count(*) from (select 1 from {table} as waits where state = 'retry' or (state = 'blocked' and not exists ("
            f"select 1 from {table} as head where head.handler = waits.handler and head.channel = waits.channel"
            " and head.part = waits.part and head.key = waits.key and head.state = 'dead' and head.due_ms < 0)) limit 1000) as found"
        )
        return int(count)

    def _row(self, row: Sequence[Any]) -> Parked:
        handler, id, channel, part, key, state, due, frame, claims, failures, reason, history, place = row
        return Parked(
            self._text(handler),
            id,
            self._text(channel),
            part,
            key,
            ParkedState(state),
            due,
            frame,
            claims,
            failures,
            reason,
            history,
            place,
        )
