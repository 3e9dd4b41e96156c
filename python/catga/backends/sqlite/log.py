"""The write-ahead log: copied back into the file while others write, so that nobody waits for it."""

import asyncio
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor

logger: logging.Logger = logging.getLogger("catga.sqlite")

MOST = 50_000
"""Rows written by this process until it copies the log back."""


class Log:
    """Copies twice: nearly all of it beside the commits, and then, between two commits, what has come meanwhile. Only a
    log that is copied to its end begins anew, and under load it would never be."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._thread = ThreadPoolExecutor(1, "catga-sqlite-log")
        self._copied = 0
        self._first: asyncio.Future[None] | None = None

    async def grown(self, changes: int) -> None:
        """After a commit, with the write lock still held: `changes` is how many rows this process has written so far."""
        if self._first is None:
            if changes - self._copied > MOST:
                self._first = self._copy()
        elif self._first.done():
            self._first = None
            self._copied = changes
            await self._copy()

    def close(self) -> None:
        """Blocks until what runs has ended."""
        self._thread.shutdown()

    def _copy(self) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().run_in_executor(self._thread, self._checkpoint)

    def _checkpoint(self) -> None:
        try:
            self._connection.execute("pragma wal_checkpoint(passive)").fetchall()
        except sqlite3.Error as error:
            # What was committed stays so; the log is copied back another time.
            logger.warning("%s: the log was not copied back: %s", self._path, error)
