"""One database as this process uses it: a connection that commits, two that look, and a pool for the rest."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, TypeVar

import asyncpg

from catga.backends.postgres.failures import LOST, store_error, unavailable
from catga.backends.postgres.options import PostgresOptions
from catga.errors import AppClosed
from catga.sql.procedures import Ask, Procedure, Rows, arun

T = TypeVar("T")
Connection: TypeAlias = Any
"""asyncpg's: the driver has no types."""

INSIDE = "select set_config('catga.inside', 'yes', true)"
"""From here to the end of the transaction our own tables may be written."""
RELAXED = "set local synchronous_commit = off"
"""For what may be lost with the server: it is only done again."""


class Line:
    """A connection that is made again when it was lost. One at a time uses it.

    A crash of the server ends every connection, and after it numbers of transactions come again whose ends were not on its
    disk. So what was seen on one connection is known on the next only if it was made sure.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self.era: int = 0
        """Counts how often it was made; it is this one as long as it is used."""

    @asynccontextmanager
    async def use(self) -> AsyncGenerator[Connection]:
        """Waits for its turn; closes a connection that was left in the middle of something."""
        async with self._turn:
            connection = self._connection
            if connection is None or connection.is_closed():
                connection = self._connection = await self._connect()
                self.era += 1
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
        self.where: str = options.identity
        self._pools: tuple[Any, ...] = ()

    async def open(self) -> None:
        """Connects."""
        self.writer: Line = Line(self._connect)
        self.looker: Line = Line(self._connect)
        self._asker = Line(self._connect)
        # They connect when they are used first.
        for settings in ({}, {"default_transaction_read_only": "on"}):
            pool = asyncpg.create_pool(max_size=self.options.pool, min_size=0, **self._how(settings))
            self._pools = (*self._pools, await pool)

    async def close(self) -> None:
        """Ends what was opened."""
        pools, self._pools = self._pools, ()
        if not pools:
            return
        for line in (self.writer, self.looker, self._asker):
            await line.close()
        for pool in pools:
            try:
                await asyncio.wait_for(pool.close(), 10)
            except TimeoutError:
                pool.terminate()

    def error(self, error: Exception) -> Exception:
        """As one of ours, where it is the store's. Our own statements are right: what the driver says is of the line."""
        if isinstance(error, asyncpg.InterfaceError):
            return unavailable(error, self.where)
        return store_error(error, self.where) or error

    def check(self) -> None:
        """That it is open."""
        if not self._pools:
            raise AppClosed("the store is not open", where=self.where, fix="await store.open() first")

    @asynccontextmanager
    async def lent(self, *, writing: bool) -> AsyncGenerator[Connection]:
        """A connection of the pool, for what handlers do; it comes back as it was."""
        self.check()
        pool = self._pools[0 if writing else 1]
        try:
            connection = await pool.acquire()
        except Exception as error:
            raise self.error(error) from error
        try:
            yield connection
        finally:
            await self._give_back(pool, connection)

    @asynccontextmanager
    async def look(self) -> AsyncGenerator[tuple[Connection, int]]:
        """The connection on which queue and outbox are read, and its era."""
        self.check()
        try:
            async with self.looker.use() as connection:
                yield connection, self.looker.era
        except Exception as error:
            if (known := self.error(error)) is error:
                raise
            raise known from error

    async def ask(self, procedure: Procedure[T]) -> T:
        """Runs a procedure that only reads."""
        self.check()
        try:
            async with self._asker.use() as connection:
                return await arun(procedure, asking(connection))
        except Exception as error:
            raise self.error(error) from error

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        """A question of our own."""
        self.check()
        try:
            async with self._asker.use() as connection:
                return await connection.fetch(sql, *args)  # type: ignore[no-any-return]
        except Exception as error:
            raise self.error(error) from error

    async def tell(self, procedure: Procedure[T], relaxed: bool = False) -> T:
        """Runs a procedure in a transaction of its own; with `relaxed` its commit does not wait for the disk."""
        try:
            async with self.lent(writing=True) as connection, connection.transaction():
                await connection.execute(INSIDE)
                if relaxed:
                    await connection.execute(RELAXED)
                return await arun(procedure, asking(connection))
        except Exception as error:
            raise self.error(error) from error

    async def _give_back(self, pool: Any, connection: Connection) -> None:
        try:
            await pool.release(connection)
        except Exception as error:
            raise self.error(error) from error

    async def _connect(self) -> Connection:
        return await asyncpg.connect(**self._how({}))

    def _how(self, settings: dict[str, str]) -> dict[str, Any]:
        seconds = self.options.timeout
        return {
            "dsn": self.options.dsn,
            "command_timeout": seconds,
            "timeout": seconds,
            "server_settings": {"application_name": "catga", **settings},
        }


async def make_sure(connection: Connection) -> None:
    """Returns when all that this connection has seen would be there after a crash: a commit that waits for the disk waits for
    those before it."""
    await connection.execute("select pg_logical_emit_message(true, 'catga', '')")


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
