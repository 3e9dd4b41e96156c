"""Reading the parked rows: due retries, their followers, schedules, dead letters."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from catga.backends.sqlite.names import Names
from catga.ports.store import Parked, ParkedState

_COLUMNS = "handler, id, channel, part, key, state, due_ms, frame, claims, failures, reason, history, place"


def due_rows(
    connection: sqlite3.Connection, names: Names, channel: str, parts: Sequence[int], now_ms: int, most: int
) -> list[Parked]:
    """Retries and schedules whose time has come."""
    chosen = ",".join(f"{part:d}" for part in parts)
    rows = [
        row
        for state in ("retry", "scheduled")
        for row in connection.execute(
            f"select {_COLUMNS} from catga_parked where channel = ? and state = ? and due_ms <= ? and part in ({chosen}) order by due_ms, place limit ?",
            (names.number(channel), state, now_ms, most),
        )
    ]
    return [_parked(connection, names, row) for row in rows]


def followers(
    connection: sqlite3.Connection, names: Names, channel: str, part: int, handler: str, key: bytes, most: int
) -> list[Parked]:
    """The blocked rows at the front of a key's queue; dead letters that do not block are passed over."""
    found: list[Parked] = []
    for row in connection.execute(
        f"select {_COLUMNS} from catga_parked where handler = ? and channel = ? and part = ? and key = ? order by place limit ?",
        (names.number(handler), names.number(channel), part, key, most),
    ).fetchall():
        parked = _parked(connection, names, row)
        if parked.state is ParkedState.BLOCKED:
            found.append(parked)
        elif parked.state is ParkedState.RETRY or parked.due_ms < 0:
            break
    return found


def waiting_keys(
    connection: sqlite3.Connection, names: Names, channel: str, parts: Sequence[int]
) -> list[tuple[str, bytes, int]]:
    """Keys that later messages must wait behind."""
    chosen = ",".join(f"{part:d}" for part in parts)
    rows = connection.execute(
        f"""
        select handler, key, part from catga_parked where channel = ? and part in ({chosen}) and key is not null
          and (state in ('retry', 'blocked') or (state = 'dead' and due_ms < 0)) order by place
        """,
        (names.number(channel),),
    )
    return [(names.text(connection, handler), key, part) for handler, key, part in rows]


def dead_letters(connection: sqlite3.Connection, names: Names, most: int, handler: str | None) -> list[Parked]:
    """Newest first."""
    if handler is not None and names.unknown([handler]):
        return []
    only = "" if handler is None else f"and handler = {names.number(handler):d}"
    rows = connection.execute(
        f"select {_COLUMNS} from catga_parked where state = 'dead' {only} order by place desc limit ?", (most,)
    ).fetchall()
    return [_parked(connection, names, row) for row in rows]


def next_due(connection: sqlite3.Connection) -> int | None:
    """The earliest time in the table."""
    (due,) = connection.execute("select min(due_ms) from catga_parked where state in ('retry', 'scheduled')").fetchone()
    return due  # type: ignore[no-any-return]


def pending(connection: sqlite3.Connection) -> int:
    """Queued, in the outbox, or waiting for a retry; counted only as far as it matters."""
    (count,) = connection.execute(
        "select (select count(*) from (select 1 from catga_queue limit 1000)) + (select count(*) from (select 1 from catga_outbox limit 1000))"
        " + (select count(*) from (select 1 from catga_parked where state in ('retry', 'blocked') limit 1000))"
    ).fetchone()
    return int(count)


def _parked(connection: sqlite3.Connection, names: Names, row: tuple[Any, ...]) -> Parked:
    handler, id, channel, part, key, state, due, frame, claims, failures, reason, history, place = row
    return Parked(
        names.text(connection, handler),
        id,
        names.text(connection, channel),
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
