"""Partitions: messages by the hour, marks by the day. They are made ahead, and dropped whole."""

from collections.abc import Mapping

import asyncpg

from catga.backends.postgres.counting import waiting
from catga.backends.postgres.database import INSIDE, Connection
from catga.backends.postgres.reading import Place
from catga.backends.postgres.schema import SPAN_MS, guard

AHEAD = 1
"""Spans made before their time: each costs every question a look."""
DAYS = 2
BRIEFLY = "set local lock_timeout = '50ms'"
"""Who waits for a table's lock makes everybody behind it wait: another time, then."""


class Partitions:
    """Of one schema."""

    def __init__(self, schema: str) -> None:
        self._schema = schema

    async def make(self, connection: Connection) -> None:
        """Those of now and of soon. Where one is missing, its rows go to the rest and stay there until they have ended."""
        now: int = await connection.fetchval("select floor(extract(epoch from clock_timestamp()) * 1000)::bigint")
        span, day = now // SPAN_MS, now // 86_400_000
        for table, first, count in (("messages", span, AHEAD), ("marks", day, DAYS)):
            there = await self.of(connection, table)
            for number in range(first, first + count + 1):
                if number not in there:
                    await self._make(connection, table, number)

    async def of(self, connection: Connection, table: str) -> list[int]:
        """The numbers of a table's partitions, oldest first; the rest has none."""
        rows = await connection.fetch(
            "select substring(relid::regclass::text from '_(\\d+)$')::int from pg_partition_tree(to_regclass($1)) where isleaf and relid::regclass::text ~ '_\\d+$' order by 1",
            f"{self._schema}.{table}",
        )
        return [number for (number,) in rows]

    async def drop_ended(self, connection: Connection, places: Mapping[int, Place]) -> int:
        """Hours that are over, and whose rows have all been read up to `places`, by lane; how many were dropped."""
        now: int = await connection.fetchval("select floor(extract(epoch from clock_timestamp()) * 1000)::bigint")
        dropped = 0
        for number in await self.of(connection, "messages"):
            table = f"{self._schema}.messages_{number}"
            if number >= now // SPAN_MS or await waiting(connection, table, places):
                continue
            try:
                async with connection.transaction():
                    await connection.execute(BRIEFLY)
                    await connection.execute(f"lock table {table} in access exclusive mode")
                    # Again, now that nobody can write to it: a transaction may have been open until a moment ago.
                    if not await waiting(connection, table, places):
                        await connection.execute(f"drop table {table}")
                        dropped += 1
            except asyncpg.LockNotAvailableError:
                continue
        return dropped

    async def forget(self, connection: Connection, before_day: int) -> None:
        """Marks of days before this one."""
        for day in await self.of(connection, "marks"):
            if day < before_day:
                await connection.execute(f"drop table {self._schema}.marks_{day}")
        await connection.execute(f"delete from {self._schema}.marks_rest where day < $1", before_day)

    async def _make(self, connection: Connection, table: str, number: int) -> None:
        name = f"{table}_{number}"
        try:
            async with connection.transaction():
                await connection.execute(BRIEFLY)
                await connection.execute(INSIDE)
                await connection.execute(
                    f"create table {self._schema}.{name} partition of {self._schema}.{table} for values from ({number}) to ({number + 1})"
                )
                await connection.execute(guard(self._schema, name))
        except (asyncpg.LockNotAvailableError, asyncpg.DuplicateTableError, asyncpg.CheckViolationError):
            # Another time; somebody else's; or the rest has rows of it already and keeps them.
            pass
