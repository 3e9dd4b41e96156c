"""One SQLite file as this process uses it: a guarded writing connection behind the fair gate, and a few readers."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from catga.backends.sqlite.failures import store_error
from catga.backends.sqlite.gate import Gate
from catga.backends.sqlite.log import Log
from catga.backends.sqlite.options import SqliteOptions
from catga.backends.sqlite.schema import check_version, migrate
from catga.errors import AppClosed, OutcomeUnknown, StoreReadOnly, StoreUnavailable

T = TypeVar("T")

MARK = f"/* catga {os.urandom(8).hex()} */"
"""In our own statements that begin and end: whatever words a user writes are another statement to the cache, and meet
the guard."""
BEGIN, COMMIT, ROLLBACK = f"begin immediate {MARK}", f"commit {MARK}", f"rollback {MARK}"

_ENDS = {
    sqlite3.SQLITE_TRANSACTION,
    sqlite3.SQLITE_SAVEPOINT,
    sqlite3.SQLITE_ATTACH,
    sqlite3.SQLITE_DETACH,
    sqlite3.SQLITE_PRAGMA,
}
_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_ROWS = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}


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
        self._log: Log
        self._syncs = options.synchronous == "FULL"
        self._pid = 0
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []

    def open(self) -> None:
        """Blocks: connects, migrates, checks that the file can be written."""
        try:
            self._gate = Gate(self.options.absolute)
        except PermissionError as error:
            raise StoreReadOnly(
                "the SQLite store cannot be opened",
                where=self.path,
                why=str(error),
                fix="give this process write access to the file and its folder",
            ) from error
        except OSError as error:
            raise StoreUnavailable(
                "the SQLite store cannot be opened",
                where=self.path,
                why=str(error),
                fix="check that the folder exists and may be written",
            ) from error
        self._opened = []
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
            # Copying the log back to the file waits for the disk: it is done when we say so.
            self.writer.execute("pragma wal_autocheckpoint = 0")
            self._log = Log(self._connect(), self.path)
            self.writer.set_authorizer(self._authorize)
            self.reader = self._connect()
            self.reader.execute(f"pragma busy_timeout = {int(self.options.lock_timeout * 1000)}")
            self.reader.execute("pragma query_only = on")
        except BaseException as error:
            for connection in self._opened:
                connection.close()
            self._gate.close()
            if isinstance(error, sqlite3.Error):
                raise store_error(error, self.path) or error from error
            raise
        self._writing = ThreadPoolExecutor(1, "catga-sqlite-writer")
        self._reading = ThreadPoolExecutor(self.options.readers, "catga-sqlite-reader")
        self._pid = os.getpid()

    def close(self) -> None:
        """Blocks until what runs has ended."""
        if self._pid == 0:
            return
        self._pid = 0
        self._log.close()
        self._writing.shutdown()
        self._reading.shutdown()
        for connection in self._opened:
            connection.close()
        self._local = threading.local()
        self._gate.close()

    def leave_to_parent(self) -> bool:
        """In a forked child: forgets what is its parent's to close."""
        if self._pid in (0, os.getpid()):
            return False
        self._pid = 0
        return True

    def version(self) -> int:
        """Changes whenever another connection has committed; 3 µs, so that it can be polled."""
        return int(self.reader.execute("pragma data_version").fetchone()[0])

    async def begin(self) -> None:
        """Takes the write lock, in the order of asking among all processes."""
        self.check()
        try:
            if not self._gate.try_enter():
                await self.in_writer(self._gate.enter)
            try:
                self.writer.execute(BEGIN)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                # Somebody who does not know the gate holds the lock: wait where it blocks nobody.
                await self.in_writer(self._begin_patiently)
            check_version(self.writer, self.path)
        except BaseException as error:
            self.rollback()
            if isinstance(error, sqlite3.Error):
                raise store_error(error, self.path) or error from error
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
            await self._log.grown(self.writer.total_changes)
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
        self.check()
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
        self.check()
        return await asyncio.get_running_loop().run_in_executor(self._reading, self._read, work)

    async def in_writer(self, work: Callable[[], T]) -> T:
        """Runs blocking work in the writer's thread; a cancelled caller does not stop it and waits for its end."""
        return await to_its_end(asyncio.get_running_loop().run_in_executor(self._writing, work))

    def check(self) -> None:
        """That this is the process that opened the file, and has not closed it: another one's connections and locks
        must not be touched."""
        if self._pid == os.getpid():
            return
        if self._pid == 0:
            raise AppClosed("the store is not open", where=self.path, fix="await store.open() first")
        raise AppClosed(
            "this process was forked from the one that opened the store",
            where=self.path,
            fix="start the app after the fork",
        )

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
            connection.execute(f"pragma busy_timeout = {int(self.options.lock_timeout * 1000)}")
            connection.execute("pragma query_only = on")
            connection.set_authorizer(_only_reading)
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
        self._opened.append(connection)
        connection.execute("pragma busy_timeout = 0")
        return connection

    def _authorize(
        self, action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
    ) -> int:
        if not self.guarded or _reads(action, first):
            return sqlite3.SQLITE_OK
        # Tables stand first where rows are written, and second in what is made for one or altered.
        names = (first,) if action in _ROWS else (first, second)
        ours = any(name is not None and name.lower().startswith("catga_") for name in names)
        return sqlite3.SQLITE_DENY if ours or action in _ENDS else sqlite3.SQLITE_OK


async def to_its_end(future: "asyncio.Future[T]") -> T:
    """Awaits what no cancellation stops; a cancelled caller hears of it when it has ended."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise


def _reads(action: int, first: str | None) -> bool:
    # Full-text tables ask for the version of the data whenever they are read.
    return action in _READS or (action == sqlite3.SQLITE_PRAGMA and first == "data_version")


def _only_reading(action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
    # `query_only` refuses every write; this refuses to switch it off, and what would outlast the question.
    return sqlite3.SQLITE_DENY if action in _ENDS and not _reads(action, first) else sqlite3.SQLITE_OK
