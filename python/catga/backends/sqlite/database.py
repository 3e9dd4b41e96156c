"""One SQLite file as this process uses it: a guarded writing connection behind the fair gate, and a few readers."""

import asyncio
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from catga.backends.sqlite.failures import store_error
from catga.backends.sqlite.gate import Gate
from catga.backends.sqlite.options import SqliteOptions
from catga.backends.sqlite.schema import migrate
from catga.errors import AppClosed, OutcomeUnknown, StoreUnavailable

T = TypeVar("T")
log: logging.Logger = logging.getLogger("catga.sqlite")

# Ours carry a mark, so that the same words from a user are another statement to the cache and meet the guard.
BEGIN, COMMIT, ROLLBACK = "begin immediate /* catga */", "commit /* catga */", "rollback /* catga */"

CHECKPOINT = 20_000
"""Rows written by this process after which the log is copied back into the file."""

_DENIED = {
    sqlite3.SQLITE_TRANSACTION,
    sqlite3.SQLITE_SAVEPOINT,
    sqlite3.SQLITE_ATTACH,
    sqlite3.SQLITE_DETACH,
    sqlite3.SQLITE_PRAGMA,
}
_WRITES = {
    sqlite3.SQLITE_INSERT,
    sqlite3.SQLITE_UPDATE,
    sqlite3.SQLITE_DELETE,
    sqlite3.SQLITE_DROP_TABLE,
    sqlite3.SQLITE_ALTER_TABLE,
}


class Database:
    """Statements of a commit run on the loop's thread and only waiting happens on another: sqlite3 gives up the GIL at
    every step, and beside a busy loop each step in a thread would wait up to 5 ms to get it back (0.7 s for a group
    of 500, measured)."""

    def __init__(self, options: SqliteOptions) -> None:
        self.options = options
        self.path: str = str(options.absolute)
        self.writer: sqlite3.Connection
        self.guarded = False
        self.reader: sqlite3.Connection
        self._gate: Gate
        self._copied = 0
        self._syncs = options.synchronous == "FULL"
        self._pid = 0
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []

    def open(self) -> None:
        """Blocks: connects, migrates, checks that the file can be written."""
        try:
            self._gate = Gate(options_path := self.options.absolute)
        except OSError as error:
            raise StoreUnavailable(
                "the SQLite store cannot be opened",
                where=self.path,
                why=str(error),
                fix="check that the folder exists and may be written",
            ) from error
        try:
            self._gate.enter()
            try:
                self.writer = self._connect()
                # Another process that opens the file, or mends its log after a crash, holds it for a moment.
                self.writer.execute(f"pragma busy_timeout = {int(self.options.lock_timeout * 1000)}")
                self.writer.execute("pragma journal_mode = wal")
                self.writer.execute(f"pragma synchronous = {self.options.synchronous}")
                self.writer.execute("pragma foreign_keys = on")
                migrate(self.writer, self.path)
                self.writer.execute("pragma busy_timeout = 0")
            finally:
                self._gate.leave()
            # Copying the log back to the file waits for the disk: it is done in the writer's thread, when we say so.
            self.writer.execute("pragma wal_autocheckpoint = 0")
            self.writer.set_authorizer(self._authorize)
            self.reader = self._connect()
            self.reader.execute(f"pragma busy_timeout = {int(self.options.lock_timeout * 1000)}")
            self.reader.execute("pragma query_only = on")
        except sqlite3.Error as error:
            raise store_error(error, str(options_path)) or error from error
        self._writing = ThreadPoolExecutor(1, "catga-sqlite-writer")
        self._reading = ThreadPoolExecutor(self.options.readers, "catga-sqlite-reader")
        self._pid = os.getpid()

    def close(self) -> None:
        """Blocks until what runs has ended."""
        self._writing.shutdown()
        self._reading.shutdown()
        for connection in (self.writer, self.reader, *self._readers):
            connection.close()
        self._readers.clear()
        self._local = threading.local()
        self._gate.close()

    def version(self) -> int:
        """Changes whenever another connection has committed; 3 µs, so that it can be polled."""
        return int(self.reader.execute("pragma data_version").fetchone()[0])

    async def begin(self) -> None:
        """Takes the write lock, in the order of asking among all processes."""
        if os.getpid() != self._pid:
            raise AppClosed(
                "this process was forked from the one that opened the store",
                where=self.path,
                fix="start the app after the fork",
            )
        if not self._gate.try_enter():
            await self.in_writer(self._gate.enter)
        try:
            try:
                self.writer.execute(BEGIN)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                # Somebody who does not know the gate holds the lock: wait where it blocks nobody.
                await self.in_writer(self._begin_patiently)
        except BaseException:
            self._gate.leave()
            raise

    async def commit(self) -> None:
        """Writes out what was begun and lets the next one in. `sqlite3.IntegrityError` (a deferred constraint) leaves
        the transaction open; any other failure ends it."""
        try:
            if self._syncs:
                await self.in_writer(lambda: self.writer.execute(COMMIT))
            else:
                # Without a sync it only copies pages to the system: less than the hop to a thread and back.
                self.writer.execute(COMMIT)
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            self.rollback()
            known = store_error(error, self.path)
            if known is not None and error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_IOERR:
                raise known from error
            raise OutcomeUnknown(
                "the commit did not answer clearly",
                where=self.path,
                why=str(error),
                fix="it is asked again through the marks",
            ) from error
        except BaseException:
            self.rollback()
            raise
        try:
            if self.writer.total_changes - self._copied > CHECKPOINT:
                await self.in_writer(lambda: self.writer.execute("pragma wal_checkpoint(passive)").fetchall())
                self._copied = self.writer.total_changes
        except sqlite3.Error as error:
            # What was committed stays so; the log is copied back by a later commit.
            log.warning("%s: the log was not copied back: %s", self.path, error)
        finally:
            self._gate.leave()

    def rollback(self) -> None:
        """Undoes what was begun and lets the next one in."""
        try:
            if self.writer.in_transaction:
                self.writer.execute(ROLLBACK)
        finally:
            self._gate.leave()

    def read_here(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Short reading work on the loop's own thread: what the queue reads was written a moment ago and is in memory,
        and in a thread every row would wait for the GIL."""
        try:
            return work(self.reader)
        except sqlite3.Error as error:
            raise store_error(error, self.path) or error from error

    def undo(self) -> None:
        """Begins again, without letting anybody else in between."""
        if self.writer.in_transaction:
            self.writer.execute(ROLLBACK)
        self.writer.execute(BEGIN)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs reading work on a connection that cannot write, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._reading, self._read, work)

    async def in_writer(self, work: Callable[[], T]) -> T:
        """Runs blocking work in the writer's thread; a cancelled caller does not stop it and waits for its end."""
        future = asyncio.get_running_loop().run_in_executor(self._writing, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
            connection.execute(f"pragma busy_timeout = {int(self.options.lock_timeout * 1000)}")
            connection.execute("pragma query_only = on")
            self._readers.append(connection)
        try:
            return work(connection)
        except sqlite3.Error as error:
            raise store_error(error, self.path) or error from error

    def _begin_patiently(self) -> None:
        self.writer.execute(f"pragma busy_timeout = {int(self.options.lock_timeout * 1000)}")
        try:
            self.writer.execute(BEGIN)
        finally:
            self.writer.execute("pragma busy_timeout = 0")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, cached_statements=512)
        connection.execute("pragma busy_timeout = 0")
        return connection

    def _authorize(
        self, action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
    ) -> int:
        if self.guarded and (
            action in _DENIED or (action in _WRITES and first is not None and first.startswith("catga_"))
        ):
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK


def chunks(rows: Sequence[Any]) -> list[Sequence[Any]]:
    """Slices of 256, 64, 16, 4 and 1: few distinct statements for the cache, one step for many rows."""
    found: list[Sequence[Any]] = []
    start = 0
    for size in (256, 64, 16, 4, 1):
        while len(rows) - start >= size:
            found.append(rows[start : start + size])
            start += size
    return found


def insert_rows(connection: sqlite3.Connection, head: str, rows: Sequence[Sequence[Any]]) -> None:
    """A multi-row insert: one step and one release of the GIL for up to 256 rows."""
    if not rows:
        return
    one = "(" + ",".join("?" * len(rows[0])) + ")"
    for chunk in chunks(rows):
        connection.execute(f"{head} values {','.join([one] * len(chunk))}", [value for row in chunk for value in row])


def delete_rows(connection: sqlite3.Connection, head: str, keys: Sequence[Any]) -> int:
    """Deletes by a list of keys; how many rows went."""
    gone = 0
    for chunk in chunks(keys):
        gone += connection.execute(f"{head} ({','.join('?' * len(chunk))})", chunk).rowcount
    return gone
