"""The plain script that the demo is measured against: the same number of rows of the same widths, the bookkeeping rows
included, with sqlite3 one `execute` a row in transactions of 500, under the same pragmas. It keeps no index and makes no
promise; rows that Catga deletes again when a message is settled are only written here."""

import itertools
import sqlite3
import time
from collections.abc import Iterator, Sequence
from typing import Any

TABLES = """
create table queue (number integer primary key, frame blob);
create table marks (day integer, handler integer, id blob, state integer, reply blob);
create table departures (number integer, flight text, carrier text, tail text, origin text, dest text, scheduled text, delay integer);
create table rebookings (number integer, flight text);
"""
QUEUE = "insert into queue values (?, ?)"
MARK = "insert into marks values (?, ?, ?, ?, ?)"
DEPARTURE = "insert into departures values (?, ?, ?, ?, ?, ?, ?, ?)"
REBOOKING = "insert into rebookings values (?, ?)"
TRANSACTION = 500


def rows(data: Sequence[Any], frames: dict[str, bytes]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Every row that one departure costs: its own, and those of the messages it takes."""
    id = bytes(16)
    number = itertools.count(1)
    for departure in data:
        event = "cancelled" if departure.delay is None else "delayed" if departure.delay > 0 else "departed"
        yield QUEUE, (next(number), frames["record"])
        yield (
            DEPARTURE,
            (
                departure.number,
                departure.flight,
                departure.carrier,
                departure.tail,
                departure.origin,
                departure.dest,
                departure.scheduled,
                departure.delay,
            ),
        )
        yield MARK, (20_000, 1, id, 1, None)
        yield QUEUE, (next(number), frames[event])
        yield MARK, (20_000, 2, id, 1, None)
        if departure.delay is None:
            yield QUEUE, (next(number), frames["rebook"])
            yield REBOOKING, (departure.number, departure.flight)
            yield MARK, (20_000, 3, id, 1, None)


def plain_rate(path: str, synchronous: str, data: Sequence[Any], frames: dict[str, bytes]) -> float:
    """Departures per second; making the rows is not timed, writing them is."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute(f"pragma synchronous = {synchronous}")
    connection.execute(f"pragma wal_autocheckpoint = {16 * 1024 * 1024 // 4096}")
    connection.executescript(TABLES)
    listed = list(rows(data, frames))
    execute = connection.execute
    started = time.perf_counter()
    for start in range(0, len(listed), TRANSACTION):
        execute("begin immediate")
        for sql, values in listed[start : start + TRANSACTION]:
            execute(sql, values)
        execute("commit")
    seconds = time.perf_counter() - started
    connection.close()
    return len(data) / seconds
