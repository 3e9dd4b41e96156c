"""Blobs as rows of PostgreSQL."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from catga.backends.postgres.database import Connection, Database
from catga.backends.postgres.options import PostgresOptions
from catga.backends.users import Users

T = TypeVar("T")

TABLE = """
create schema if not exists {s};
create table if not exists {s}.blobs (name text primary key, until_ms bigint not null, data bytea not null);
create index if not exists blobs_until on {s}.blobs (until_ms);
alter table {s}.blobs alter column data set storage external;  -- what is worth compressing is compressed
"""


class PostgresBlobs:
    """A table in the schema of the store, on a connection of its own."""

    def __init__(self, options: PostgresOptions) -> None:
        self._database = Database(options)
        self._schema = options.schema
        self._users = Users()
        self.blobs_id: str = f"{options.identity}/blobs"

    async def open(self) -> None:
        """Connects, and makes the table."""
        await self._users.join(self._open)

    async def close(self) -> None:
        """After the last user's close."""
        await self._users.leave(self._database.close)

    async def put(self, name: str, data: bytes, until_ms: int) -> None:
        """See the port."""
        await self._run(
            lambda connection: connection.execute(
                f"insert into {self._schema}.blobs as blob values ($1, $2, $3)"
                " on conflict (name) do update set until_ms = greatest(blob.until_ms, excluded.until_ms)",
                name,
                until_ms,
                data,
            )
        )

    async def get(self, name: str, most: int) -> bytes | None:
        """See the port."""
        found: bytes | None = await self._run(
            lambda connection: connection.fetchval(
                f"select data from {self._schema}.blobs where name = $1 and octet_length(data) <= $2", name, most
            )
        )
        return found

    async def remove(self, names: Sequence[str]) -> None:
        """See the port."""
        await self._run(
            lambda connection: connection.execute(
                f"delete from {self._schema}.blobs where name = any($1::text[])", list(names)
            )
        )

    async def expire(self, now_ms: int) -> int:
        """See the port."""
        done: str = await self._run(
            lambda connection: connection.execute(f"delete from {self._schema}.blobs where until_ms < $1", now_ms)
        )
        return int(done.rpartition(" ")[2])

    async def _open(self) -> None:
        try:
            await self._database.open()
            await self._run(self._make)
        except BaseException:
            await self._database.close()
            raise

    async def _make(self, connection: Connection) -> None:
        # The store's own lock: the schema is made by one of them.
        async with connection.transaction():
            await connection.execute(
                "select pg_advisory_xact_lock(hashtextextended($1, 0))", f"catga schema {self._schema}"
            )
            await connection.execute(TABLE.format(s=self._schema))

    async def _run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        self._database.check()
        try:
            async with self._database.writer.use() as connection:
                return await work(connection)
        except Exception as error:
            raise self._database.error(error) from error
