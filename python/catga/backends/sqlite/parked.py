"""Reading the parked rows: due retries, their followers, schedules, dead letters."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from catga.backends.sqlite.names import Names
from catga.ports.store import Parked, ParkedState, Waiting

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
    found = [_parked(connection, names, row) for row in rows]
    return sorted(found, key=lambda row: (row.due_ms, row.order))[:most]


def followers(
    connection: sqlite3.Connection, names: Names, channel: str, part: int, handler: str, key: bytes, most: int
) -> list[Parked]:
    """The blocked rows at the front of a key's queue; dead letters that do not block are passed over."""
    found: list[Parked] = []
    for row in connection.execute(
        f"select {_COLUMNS} from catga_parked where handler = ? and channel = ? and part = ? and key = ? and (state <> 'dead' or due_ms < 0) order by place limit ?",
        (names.number(handler), names.number(channel), part, key, most),
    ).fetchall():
        parked = _parked(connection, names, row)
        if parked.state is not ParkedState.BLOCKED:
            break
        found.append(parked)
    return found


def waiting(connection: sqlite3.Connection, names: Names, channel: str, parts: Sequence[int]) -> list[Waiting]:
    """Rows that later messages of their key must wait behind."""
    chosen = ",".join(f"{part:d}" for part in parts)
    rows = connection.execute(
        f"""
        select handler, key, part, id, state from catga_parked where channel = ? and part in ({chosen}) and key is not null
          and (state in ('retry', 'blocked') or (state = 'dead' and due_ms < 0)) order by place
        """,
        (names.number(channel),),
    )
    return [
        Waiting(names.text(connection, handler), key, part, id, state == "dead")
        for handler, key, part, id, state in rows
    ]


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
    """Queued, in the outbox, or waiting for a retry; counted only as far as it matters. What waits behind a dead letter that
    blocks waits for somebody to look at it."""
    (count,) = connection.execute(
        "select (select count(*) from (select 1 from catga_queue limit 1000)) + (select count(*) from (select 1 from catga_outbox limit 1000))"
        " + (select count(*) from (select 1 from catga_parked as row where state = 'retry' or (state = 'blocked' and not exists ("
        "select 1 from catga_parked as head where head.handler = row.handler and head.channel = row.channel and head.part = row.part"
        " and head.key = row.key and head.state = 'dead' and head.due_ms < 0)) limit 1000))"
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
