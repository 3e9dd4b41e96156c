"""Blobs as rows of a SQLite file of their own."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from catga.backends.sqlite.failures import statement_error, store_error
from catga.backends.sqlite.options import SqliteOptions
from catga.backends.users import Users
from catga.errors import AppClosed

T = TypeVar("T")

TABLE = """
create table if not exists catga_blobs (name text primary key, until_ms integer not null, data blob not null);
create index if not exists catga_blobs_until on catga_blobs (until_ms);
"""


class SqliteBlobs:
    """One connection, used in a thread of its own: a large payload must not hold up the loop. The file is not the store's:
    whoever holds the store's write lock may have something to put."""

    def __init__(self, options: SqliteOptions) -> None:
        self._options = options
        self._path = str(options.absolute)
        self._users = Users()
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self.blobs_id: str = f"sqlite:{options.absolute}"

    async def open(self) -> None:
        """Makes the file and the table."""
        await self._users.join(self._open)

    async def close(self) -> None:
        """After the last user's close; waits for what is being written."""
        await self._users.leave(self._close)

    async def put(self, name: str, data: bytes, until_ms: int) -> None:
        """See the port."""
        await self._run(
            lambda connection: connection.execute(
                "insert into catga_blobs values (?, ?, ?)"
                " on conflict (name) do update set until_ms = max(until_ms, excluded.until_ms)",
                (name, until_ms, data),
            )
        )

    async def get(self, name: str, most: int) -> bytes | None:
        """See the port."""
        row = await self._run(
            lambda connection: connection.execute(
                "select data from catga_blobs where name = ? and length(data) <= ?", (name, most)
            ).fetchone()
        )
        return None if row is None else row[0]

    async def remove(self, names: Sequence[str]) -> None:
        """See the port."""
        await self._run(
            lambda connection: connection.executemany("delete from catga_blobs where name = ?", [(n,) for n in names])
        )

    async def expire(self, now_ms: int) -> int:
        """See the port."""
        return await self._run(
            lambda connection: connection.execute("delete from catga_blobs where until_ms < ?", (now_ms,)).rowcount
        )

    async def _open(self) -> None:
        self._thread = ThreadPoolExecutor(1, "catga-blobs")
        try:
            await self._in_thread(self._connect)
        except BaseException:
            await self._close()
            raise

    async def _close(self) -> None:
        thread, connection = self._thread, self._connection
        if thread is not None:
            self._thread = self._connection = None
            if connection is not None:
                await asyncio.get_running_loop().run_in_executor(thread, connection.close)
            thread.shutdown(wait=False)

    def _connect(self) -> None:
        seconds = self._options.lock_timeout
        connection = sqlite3.connect(self._path, timeout=seconds, check_same_thread=False)
        try:
            connection.execute("pragma journal_mode = wal")
            connection.execute(f"pragma synchronous = {self._options.synchronous}")
            connection.executescript(TABLE)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        if connection is None:
            raise AppClosed("the blobs are not open", where=self._path, fix="await blobs.open() first")

        def run() -> T:
            with connection:
                return work(connection)

        return await self._in_thread(run)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        def typed() -> T:
            try:
                return work()
            except sqlite3.Error as error:
                raise store_error(error, self._path) or statement_error(error, "blobs") from error

        return await asyncio.get_running_loop().run_in_executor(self._thread, typed)
