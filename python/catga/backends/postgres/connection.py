"""A handler's `Connection`: asyncpg's, in a transaction of its own."""

from collections.abc import Sequence
from typing import Any

from catga.backends.postgres.database import tuples
from catga.backends.postgres.failures import refused, statement_error
from catga.backends.postgres.group import touching
from catga.backends.postgres.guard import Guard
from catga.transaction import Connection, Row


class PostgresConnection(Connection):
    """`raw` is asyncpg's connection."""

    __slots__ = ("_guard",)

    def __init__(self, raw: Any, guard: Guard) -> None:
        super().__init__(raw)
        self._guard = guard

    async def execute(self, sql: str, /, *args: Any) -> int:
        """See `Connection`."""
        self._guard.check(sql)
        try:
            return await touching(self.raw, sql, args)
        except Exception as error:
            raise statement_error(error, sql) from error

    async def fetch(self, sql: str, /, *args: Any) -> Sequence[Row]:
        """See `Connection`."""
        self._guard.check(sql)
        try:
            return tuples(await self.raw.fetch(sql, *args))
        except Exception as error:
            raise statement_error(error, sql) from error


def still_ours(raw: Any) -> None:
    """After the handler: its transaction must still stand."""
    if not raw.is_closed() and not raw.is_in_transaction():
        raise refused("a statement of the handler ended its transaction")
