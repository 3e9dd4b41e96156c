"""Group commit: the units of many handlers in one transaction, each undone alone where it fails."""

from collections.abc import Sequence
from typing import Any

from catga.backends.postgres.books import Books, Taken
from catga.backends.postgres.database import INSIDE, Connection
from catga.backends.postgres.failures import DUPLICATE as MARKED
from catga.backends.postgres.failures import STALE as SUPERSEDED
from catga.backends.postgres.failures import code_of, statement_error, store_error
from catga.backends.postgres.guard import check
from catga.errors import CatgaError, Conflict
from catga.ports.store import COMMITTED, DUPLICATE, STALE, Commit, Outcome, Unit
from catga.sql.names import Names
from catga.transaction import Statement


class Groups:
    """Writes units on a connection whose transaction others began, or in one call where nothing else is to be written."""

    def __init__(self, names: Names, schema: str, where: str) -> None:
        self._names = names
        self._schema = schema
        self._where = where
        self.colocated = False

    def simple(self, units: Sequence[Unit]) -> Books | None:
        """What to write, where one call does it all; None where handlers have statements or something waits."""
        if any(unit.statements or unit.unpark for unit in units):
            return None
        books = self._books(units)
        return books if books.plain else None

    async def write(self, connection: Connection, units: Sequence[Unit]) -> list[Outcome]:
        """In the connection's transaction: all of them, or, where that fails, each half by itself."""
        failed: BaseException
        try:
            async with connection.transaction():
                await self._all(connection, units)
            return [COMMITTED] * len(units)
        except Exception as error:
            failed = error
        if (lost := self._lost(connection, failed)) is not None:
            raise lost from failed
        if len(units) == 1:
            return [self._fate(failed, units[0])]
        middle = len(units) // 2
        first = await self.write(connection, units[:middle])
        return [*first, *await self.write(connection, units[middle:])]

    async def _all(self, connection: Connection, units: Sequence[Unit]) -> None:
        for sql, arguments in runs(units):
            if isinstance(arguments, Statement):
                await _expecting(connection, arguments)
            elif len(arguments) == 1:
                await _run(connection, sql, arguments[0])
            else:
                check(sql)
                await connection.executemany(sql, arguments)
        await connection.execute(INSIDE)
        await self._books(units).write(connection, self._schema)

    def _books(self, units: Sequence[Unit]) -> Books:
        books = Books(self._names, self.colocated)
        for unit in units:
            books.add(unit)
        return books

    def _lost(self, connection: Connection, error: BaseException) -> BaseException | None:
        """What is wrong with the whole transaction, if anything: then nobody's unit has failed."""
        if isinstance(error, CatgaError):
            return None
        if connection.is_closed() or not connection.is_in_transaction():
            return store_error(error, self._where) or error
        known = store_error(error, self._where)
        return known if known is not None and not code_of(error).startswith("42501") else None

    def _fate(self, error: BaseException, unit: Unit) -> Outcome:
        if isinstance(error, Taken) or code_of(error) == MARKED:
            return DUPLICATE
        if code_of(error) == SUPERSEDED:
            return STALE
        text = "; ".join(statement.sql for statement in unit.statements)
        return Outcome(Commit.FAILED, statement_error(error, text))  # type: ignore[arg-type]


def runs(units: Sequence[Unit]) -> "list[tuple[str, Any]]":
    """Statements in their order; equal ones that follow each other together, as one list of arguments."""
    found: list[tuple[str, Any]] = []
    for unit in units:
        for statement in unit.statements:
            if statement.expect is not None:
                found.append((statement.sql, statement))
            elif found and found[-1][0] == statement.sql and isinstance(found[-1][1], list):
                found[-1][1].append(statement.args)
            else:
                found.append((statement.sql, [statement.args]))
    return found


async def _run(connection: Connection, sql: str, args: Sequence[Any]) -> str:
    check(sql)
    # Prepared, so that it is one statement, whatever stands in its text.
    prepared = await connection.prepare(sql)
    await prepared.fetch(*args)
    return str(prepared.get_statusmsg())


async def _expecting(connection: Connection, statement: Statement) -> None:
    status = await _run(connection, statement.sql, statement.args)
    last = status.rpartition(" ")[2]
    touched = int(last) if last.isdigit() else 0
    if touched != statement.expect:
        raise Conflict(
            f"{touched} rows were touched, {statement.expect} expected",
            where=statement.sql,
            fix="nothing: the handler is run again on what is there now",
        )
