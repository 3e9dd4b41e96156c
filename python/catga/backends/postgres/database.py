"""One database as this process uses it: a connection that commits, one that looks, and a pool for the rest."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, TypeVar

import asyncpg

from catga.backends.postgres.failures import LOST, store_error
from catga.backends.postgres.options import PostgresOptions
from catga.errors import AppClosed
from catga.sql.procedures import Ask, Procedure, Rows, arun

T = TypeVar("T")
Connection: TypeAlias = Any
"""asyncpg's: the driver has no types."""

INSIDE = "select set_config('catga.inside', 'yes', true)"
"""From here to the end of the transaction our own tables may be written."""


class Line:
    """A connection that is made again when it was lost. One at a time uses it."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        """Waits for its turn; closes a connection that was left in the middle of something."""
        async with self._turn:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._connect()
            connection = self._connection
            try:
                yield connection
            except BaseException as error:
                if isinstance(error, LOST) or (not connection.is_closed() and connection.is_in_transaction()):
                    connection.terminate()
                raise

    async def close(self) -> None:
        """Waits for who uses it."""
        async with self._turn:
            if self._connection is not None and not self._connection.is_closed():
                await self._connection.close(timeout=5)
            self._connection = None


class Database:
    """Opened and closed with the store."""

    def __init__(self, options: PostgresOptions) -> None:
        self.options = options
        self.where = options.identity
        self.writer: Line = Line(self._connect)
        self.looker: Line = Line(self._connect)
        self._pool: Any = None

    async def open(self) -> None:
        """Connects."""
        self.writer, self.looker = Line(self._connect), Line(self._connect)
        try:
            self._pool = await asyncpg.create_pool(
                self.options.dsn,
                min_size=1,
                max_size=self.options.pool,
                command_timeout=self.options.timeout,
                timeout=self.options.timeout,
                server_settings=SETTINGS,
            )
        except Exception as error:
            raise self.error(error) from error

    async def close(self) -> None:
        """Ends what was opened."""
        pool, self._pool = self._pool, None
        await self.writer.close()
        await self.looker.close()
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), 10)
            except TimeoutError:
                pool.terminate()

    def error(self, error: BaseException) -> BaseException:
        """As one of ours, where it is the store's."""
        return store_error(error, self.where) or error

    def check(self) -> None:
        """That it is open."""
        if self._pool is None:
            raise AppClosed("the store is not open", where=self.where, fix="await store.open() first")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """One of the pool."""
        self.check()
        async with self._pool.acquire() as connection:
            yield connection

    async def ask(self, procedure: Procedure[T]) -> T:
        """Runs a procedure that only reads."""
        self.check()
        try:
            async with self.looker.use() as connection:
                return await arun(procedure, asking(connection))
        except Exception as error:
            raise self.error(error) from error

    async def tell(self, procedure: Procedure[T]) -> T:
        """Runs a procedure in a transaction of its own."""
        self.check()
        try:
            async with self.connection() as connection, connection.transaction():
                await connection.execute(INSIDE)
                return await arun(procedure, asking(connection))
        except Exception as error:
            raise self.error(error) from error

    async def _connect(self) -> Connection:
        return await asyncpg.connect(
            self.options.dsn,
            command_timeout=self.options.timeout,
            timeout=self.options.timeout,
            server_settings=SETTINGS,
        )


SETTINGS = {"application_name": "catga"}


def asking(connection: Connection) -> Callable[[Ask], Awaitable[Rows]]:
    """Answers a procedure's questions."""

    async def ask(question: Ask) -> Rows:
        return await connection.fetch(numbered(question.sql), *question.args)  # type: ignore[no-any-return]

    return ask


def numbered(sql: str) -> str:
    """`?` as `$1`, `$2`; our own statements have no question marks of another meaning."""
    parts = sql.split("?")
    return "".join(f"{part}${n}" for n, part in enumerate(parts[:-1], 1)) + parts[-1]


def tuples(rows: Sequence[Any]) -> list[tuple[Any, ...]]:
    """What handlers are given: plain rows."""
    return [tuple(row) for row in rows]
