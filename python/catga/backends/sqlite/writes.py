"""Group commit: the units of many handlers in one transaction, each undone alone where it fails."""

import sqlite3
from collections.abc import Iterable, Sequence

from catga.backends.sqlite.bookkeeping import Bookkeeping, find_marks
from catga.backends.sqlite.database import MARK, Database
from catga.backends.sqlite.failures import forbidden, statement_error, store_error
from catga.errors import Conflict
from catga.ports.messages import Lease
from catga.ports.store import COMMITTED, DUPLICATE, STALE, Commit, Mark, Outcome, Unit
from catga.sql.names import Names
from catga.transaction import Statement

_SAVE, _RELEASE, _UNDO = f"savepoint catga {MARK}", f"release catga {MARK}", f"rollback to catga {MARK}"


_APART = " "
"""Before every statement of a user's: none of ours begins so, and the same words prepared by us, without the guard, are
not found in the cache."""


class GroupLost(Exception):
    """A unit's SQL has ended the shared transaction; its neighbours have not failed."""


class Unclear(Exception):
    """Something in the group failed or was there before: it must be applied again, unit by unit."""


class Writes:
    """Applies units inside a transaction that is already begun."""

    def __init__(self, database: Database, names: Names) -> None:
        self._database = database
        self._names = names
        self.colocated = False

    def apply_hopefully(self, units: Sequence[Unit]) -> list[Outcome]:
        """All units with no savepoint and no look-up, as nearly every group allows; `Unclear` where this one does not,
        and then the transaction must be undone."""
        # One cursor for all: making and registering one costs as much as a small statement.
        execute = self._database.writer.cursor().execute
        books = self._books()
        self._database.guarded = True
        try:
            for unit in units:
                if unit.unpark:
                    raise Unclear
                for statement in unit.statements:
                    cursor = execute(_APART + statement.sql, statement.args)
                    if statement.expect is not None and _touched(cursor) != statement.expect:
                        raise Unclear
                books.add(unit)
        except Exception as error:
            raise Unclear from error
        finally:
            self._database.guarded = False
        if self._stale(units):
            raise Unclear
        try:
            books.write()
        except sqlite3.IntegrityError as error:
            raise Unclear from error
        return [COMMITTED] * len(units)

    def apply(self, units: Sequence[Unit]) -> list[Outcome]:
        """Everything in order; raises `GroupLost` where the transaction is gone, and nothing of it was written."""
        connection = self._database.writer
        stale = self._stale(units)
        outcomes: list[Outcome] = []
        books = self._books()
        taken = self._existing([mark for unit in units for mark in unit.marks if not mark.replace])
        for unit in units:
            outcome = STALE if stale and not stale.isdisjoint(unit.leases) else self._one(connection, unit, taken)
            outcomes.append(outcome)
            if outcome is COMMITTED:
                books.add(unit)
        books.write()
        return outcomes

    def _one(self, connection: sqlite3.Connection, unit: Unit, taken: set[tuple[int, int, bytes]]) -> Outcome:
        keys = [(mark.day, self._names.number(mark.handler), mark.id) for mark in unit.marks if not mark.replace]
        if taken and not taken.isdisjoint(keys):
            return DUPLICATE
        if unit.statements or unit.unpark:
            connection.execute(_SAVE)
            for handler, id in unit.unpark:
                if (
                    connection.execute(
                        "delete from catga_parked where handler = ? and id = ?", (self._names.number(handler), id)
                    ).rowcount
                    != 1
                ):
                    connection.execute(_UNDO)
                    connection.execute(_RELEASE)
                    return DUPLICATE
            error = self._statements(connection, unit.statements)
            if error is not None:
                self._undo(connection)
                return Outcome(Commit.FAILED, error)
            connection.execute(_RELEASE)
        taken.update((mark.day, self._names.number(mark.handler), mark.id) for mark in unit.marks)
        return COMMITTED

    def _undo(self, connection: sqlite3.Connection) -> None:
        if not connection.in_transaction:
            raise GroupLost
        connection.execute(_UNDO)
        connection.execute(_RELEASE)

    def _statements(self, connection: sqlite3.Connection, statements: Sequence[Statement]) -> Exception | None:
        self._database.guarded = True
        try:
            for statement in statements:
                try:
                    cursor = connection.execute(_APART + statement.sql, statement.args)
                    touched = statement.expect if statement.expect is None else _touched(cursor)
                except sqlite3.Error as error:
                    return self._failure(error, statement)
                except Exception as error:
                    # What a driver says of text and arguments that it cannot take, or an adapter of the user's own.
                    return statement_error(error, statement.sql)
                if touched != statement.expect:
                    fix = "nothing: the handler is run again on what is there now"
                    return Conflict(
                        f"{touched} rows were touched, {statement.expect} expected", where=statement.sql, fix=fix
                    )
            return None
        finally:
            self._database.guarded = False

    def _failure(self, error: sqlite3.Error, statement: Statement) -> Exception:
        if (refused := forbidden(error, statement.sql)) is not None:
            return refused
        whole = store_error(error, self._database.path)
        if whole is not None:
            # SQLite may have ended the transaction as well: no fault of this unit's.
            raise whole from error
        return statement_error(error, statement.sql)

    def _stale(self, units: Iterable[Unit]) -> set[Lease]:
        # By identity first: all units of a part come under one object, and comparing costs more than the rest.
        leases = {id(lease): lease for unit in units for lease in unit.leases}.values()
        epochs: dict[tuple[str, int], int] = {}
        for scope in {lease.scope for lease in leases}:
            rows = self._database.writer.execute("select part, epoch from catga_leases where scope = ?", (scope,))
            epochs |= {(scope, part): epoch for part, epoch in rows}
        return {lease for lease in leases if epochs.get((lease.scope, lease.part)) != lease.epoch}

    def _existing(self, marks: Sequence[Mark]) -> set[tuple[int, int, bytes]]:
        groups: dict[tuple[int, int], list[bytes]] = {}
        for mark in marks:
            groups.setdefault((mark.day, self._names.number(mark.handler)), []).append(mark.id)
        return find_marks(self._database.writer, groups)

    def _books(self) -> Bookkeeping:
        return Bookkeeping(self._database.writer, self._names, self.colocated)


def _touched(cursor: sqlite3.Cursor) -> int:
    # Rows that are returned are counted only once they have been read.
    cursor.fetchall()
    return cursor.rowcount
