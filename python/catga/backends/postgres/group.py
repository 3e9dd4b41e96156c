"""Group commit: the units of many handlers in one transaction, each undone alone where it fails."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from catga.backends.postgres.books import Books, Taken
from catga.backends.postgres.database import INSIDE, Connection
from catga.backends.postgres.failures import DUPLICATE as MARKED
from catga.backends.postgres.failures import STALE as SUPERSEDED
from catga.backends.postgres.failures import code_of, lost, statement_error, store_error, unavailable
from catga.backends.postgres.guard import Guard
from catga.errors import CatgaError, Conflict
from catga.ports.store import COMMITTED, DUPLICATE, STALE, Commit, Outcome, Unit
from catga.sql.names import Names
from catga.transaction import Statement


class Groups:
    """Writes units on a connection whose transaction others began and end."""

    def __init__(self, names: Names, schema: str, where: str) -> None:
        self._names = names
        self._schema = schema
        self._where = where
        self._guard = Guard(schema)
        self.colocated: bool = False

    def books(self, units: Sequence[Unit]) -> Books:
        """What they write beside their statements."""
        books = Books(self._names, self.colocated)
        for unit in units:
            books.add(unit)
        return books

    async def all(self, connection: Connection, units: Sequence[Unit]) -> None:
        """All of them; raises where one fails."""
        for sql, arguments in runs(units):
            self._guard.check(sql)
            if isinstance(arguments, Statement):
                await _expecting(connection, arguments)
            elif len(arguments) == 1:
                # Prepared, as all that has a result: one statement, whatever stands in its text.
                await connection.fetch(sql, *arguments[0])
            else:
                await connection.executemany(sql, arguments)
        books = self.books(units)
        if not books.plain:
            await connection.execute(INSIDE)
        try:
            await books.write(connection, self._schema)
        except asyncpg.InsufficientPrivilegeError as error:
            raise store_error(error, self._where) or error from error

    async def each(self, connection: Connection, units: Sequence[Unit]) -> list[Outcome]:
        """All of them, or, where that fails, each half by itself."""
        try:
            async with connection.transaction():
                await self.all(connection, units)
            return [COMMITTED] * len(units)
        except Exception as error:
            failed = error
        if (gone := self.lost(connection, failed)) is not None:
            raise gone from failed
        if len(units) == 1:
            return [self.fate(failed, units[0])]
        middle = len(units) // 2
        first = await self.each(connection, units[:middle])
        return [*first, *await self.each(connection, units[middle:])]

    def lost(self, connection: Connection, error: Exception) -> CatgaError | None:
        """What is wrong with the whole transaction, if anything: then nobody's unit has failed."""
        if not connection.is_closed() and not connection.is_in_transaction():
            return unavailable(error, self._where)
        return lost(connection, error, self._where)

    def fate(self, error: Exception, unit: Unit) -> Outcome:
        """Of one unit that was tried alone."""
        if isinstance(error, Taken) or code_of(error) == MARKED:
            return DUPLICATE
        if code_of(error) == SUPERSEDED:
            return STALE
        text = "; ".join(statement.sql for statement in unit.statements)
        return Outcome(Commit.FAILED, statement_error(error, text))


def runs(units: Sequence[Unit]) -> "list[tuple[str, Any]]":
    """Statements in their order; equal ones that follow each other together, as one list of arguments."""
    found: list[tuple[str, Any]] = []
    last: tuple[str, list[tuple[Any, ...]]] | None = None
    for unit in units:
        for statement in unit.statements:
            if statement.expect is not None:
                last = None
                found.append((statement.sql, statement))
            elif last is not None and last[0] == statement.sql:
                last[1].append(statement.args)
            else:
                last = (statement.sql, [statement.args])
                found.append(last)
    return found


async def _expecting(connection: Connection, statement: Statement) -> None:
    touched = await touching(connection, statement.sql, statement.args)
    if touched != statement.expect:
        raise Conflict(
            f"{touched} rows were touched, {statement.expect} expected",
            where=statement.sql,
            fix="nothing: the handler is run again on what is there now",
        )


async def touching(connection: Connection, sql: str, args: Sequence[Any]) -> int:
    """Runs one statement; how many rows it touched."""
    if args:
        status = await connection.execute(sql, *args)
    else:
        # Without arguments `execute` would take several statements.
        prepared = await connection.prepare(sql)
        await prepared.fetch()
        status = prepared.get_statusmsg()
    last = status.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0
