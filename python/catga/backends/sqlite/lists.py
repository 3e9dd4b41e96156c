"""Statements for lists: one step, and one release of the GIL, for up to 256 rows."""

import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

SIZES = (256, 64, 16, 4, 1)
"""Few distinct statements for the cache."""


def insert_rows(connection: sqlite3.Connection, head: str, row: str, values: Sequence[Any]) -> None:
    """Inserts what stands in `values` one row behind the other; `row` is a row's text, such as `(?,?,1)`."""
    width = row.count("?")
    start = 0
    for size in _sizes(len(values) // width):
        end = start + size * width
        connection.execute(_inserting(head, row, size), values[start:end])
        start = end


def insert_ids(connection: sqlite3.Connection, head: str, ids: Sequence[bytes]) -> None:
    """Inserts a row for each id of 16 bytes; `head` selects from it. They are bound as one buffer, and cut apart in SQL."""
    start = 0
    for size in _sizes(len(ids)):
        joined = bytearray().join(ids[start : start + size])
        if len(joined) != 16 * size:
            raise ValueError("an id is not 16 bytes long")
        connection.execute(f"{head} from {_cut(size)}", (joined,))
        start += size


def delete_rows(connection: sqlite3.Connection, head: str, keys: Sequence[Any]) -> int:
    """Deletes by a list of keys (`head` ends with `in`); how many rows went."""
    return sum(connection.execute(f"{head} {marks}", chunk).rowcount for marks, chunk in chunks(keys))


def chunks(keys: Sequence[Any]) -> Iterator[tuple[str, Sequence[Any]]]:
    """The question marks for a slice, in parentheses, and the slice."""
    start = 0
    for size in _sizes(len(keys)):
        yield _marks(size), keys[start : start + size]
        start += size


def _sizes(count: int) -> Iterator[int]:
    for size in SIZES:
        while count >= size:
            yield size
            count -= size


@lru_cache(maxsize=256)
def _inserting(head: str, row: str, size: int) -> str:
    return f"{head} values {','.join([row] * size)}"


@lru_cache
def _cut(size: int) -> str:
    offsets = ",".join(f"({1 + 16 * n})" for n in range(size))
    return f"(select substr(?1,column1,16) as id from (values {offsets}))"


@lru_cache
def _marks(size: int) -> str:
    return f"({','.join('?' * size)})"
