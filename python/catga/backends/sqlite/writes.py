"""Group commit: the units of many handlers in one transaction, each undone alone where it fails."""

import sqlite3
from collections.abc import Mapping, Sequence

from catga.backends.sqlite.database import MARK, Database, chunks, delete_rows, insert_rows
from catga.backends.sqlite.failures import forbidden, statement_error, store_error
from catga.backends.sqlite.names import Names
from catga.backends.sqlite.places import place, take_turns
from catga.errors import Conflict, StaleLease
from catga.ports.messages import Lease, Outgoing
from catga.ports.store import COMMITTED, Commit, Mark, Outcome, Unit
from catga.queues import rank_of
from catga.transaction import Statement

_DUPLICATE = Outcome(Commit.DUPLICATE)
_STALE = Outcome(
    Commit.STALE,
    StaleLease(
        "the part was taken over by another instance",
        why="its lease had run out",
        fix="nothing: the new holder does this work",
    ),
)

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
        connection = self._database.writer
        if self._stale({lease for unit in units for lease in unit.leases}):
            raise Unclear
        self._database.guarded = True
        try:
            for unit in units:
                if unit.unpark:
                    raise Unclear
                for statement in unit.statements:
                    cursor = connection.execute(_APART + statement.sql, statement.args)
                    if statement.expect is not None and _touched(cursor) != statement.expect:
                        raise Unclear
        except Exception as error:
            raise Unclear from error
        finally:
            self._database.guarded = False
        try:
            self._bookkeeping(connection, units)
        except sqlite3.IntegrityError as error:
            raise Unclear from error
        return [COMMITTED] * len(units)

    def apply(self, units: Sequence[Unit]) -> list[Outcome]:
        """Everything in order; raises `GroupLost` where the transaction is gone, and nothing of it was written."""
        connection = self._database.writer
        stale = self._stale({lease for unit in units for lease in unit.leases})
        outcomes: list[Outcome] = []
        written: list[Unit] = []
        taken = self._existing([mark for unit in units for mark in unit.marks if not mark.replace])
        for unit in units:
            outcome = _STALE if stale and not stale.isdisjoint(unit.leases) else self._one(connection, unit, taken)
            outcomes.append(outcome)
            if outcome is COMMITTED:
                written.append(unit)
        self._bookkeeping(connection, written)
        return outcomes

    def _one(self, connection: sqlite3.Connection, unit: Unit, taken: set[tuple[int, int, bytes]]) -> Outcome:
        keys = [(mark.day, self._names.number(mark.handler), mark.id) for mark in unit.marks if not mark.replace]
        if taken and not taken.isdisjoint(keys):
            return _DUPLICATE
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
                    return _DUPLICATE
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

    def _stale(self, leases: set[Lease]) -> set[Lease]:
        found: dict[tuple[str, int], int] = {}
        for scope in {lease.scope for lease in leases}:
            rows = self._database.writer.execute("select part, epoch from catga_leases where scope = ?", (scope,))
            found |= {(scope, part): epoch for part, epoch in rows}
        return {lease for lease in leases if found.get((lease.scope, lease.part)) != lease.epoch}

    def _existing(self, marks: Sequence[Mark]) -> set[tuple[int, int, bytes]]:
        groups: dict[tuple[int, int], list[bytes]] = {}
        for mark in marks:
            groups.setdefault((mark.day, self._names.number(mark.handler)), []).append(mark.id)
        return find_marks(self._database.writer, groups)

    def _bookkeeping(self, connection: sqlite3.Connection, units: Sequence[Unit]) -> None:
        number = self._names.numbers
        marks: list[Sequence[object]] = []
        replaced: list[Sequence[object]] = []
        for unit in units:
            for mark in unit.marks:
                row = (mark.day, number[mark.handler], mark.id, mark.state._value_, mark.reply)
                (replaced if mark.replace else marks).append(row)
        # Replacing ones first: one that does not, for the same message in the same group, is seen to be a duplicate.
        insert_rows(connection, "insert or replace into catga_marks", replaced)
        insert_rows(connection, "insert into catga_marks", marks)
        published = [message for unit in units for message in unit.publish]
        if self.colocated:
            insert_queued(connection, self._names, published)
        else:
            sent = [(m.part, m.id, m.channel, m.key, m.priority, m.due_ms, m.frame) for m in published]
            insert_rows(connection, "insert into catga_outbox (part, id, channel, key, priority, due_ms, frame)", sent)
        parked = [row for unit in units for row in unit.park]
        if parked:
            turn = take_turns(connection, len(parked))
            rows = [
                (
                    number[p.handler],
                    p.id,
                    number[p.channel],
                    p.part,
                    p.key,
                    p.state.value,
                    p.due_ms,
                    p.frame,
                    p.claims,
                    p.failures,
                    p.reason,
                    p.history,
                    p.order or turn + n,
                )
                for n, p in enumerate(parked, 1)
            ]
            insert_rows(connection, "insert or replace into catga_parked", rows)
        delete_rows(
            connection, "delete from catga_queue where number in", [token for unit in units for token in unit.settle]
        )


def insert_queued(connection: sqlite3.Connection, names: Names, messages: Sequence[Outgoing]) -> None:
    """Into the queue in this file, in order."""
    if not messages:
        return
    turn = take_turns(connection, len(messages))
    rows = [
        (place(names.numbers[message.channel], rank_of(message), message.part) + turn + n, message.frame)
        for n, message in enumerate(messages, 1)
    ]
    insert_rows(connection, "insert into catga_queue", rows)


def _touched(cursor: sqlite3.Cursor) -> int:
    # Rows that are returned are counted only once they have been read.
    cursor.fetchall()
    return cursor.rowcount


def find_marks(
    connection: sqlite3.Connection, groups: Mapping[tuple[int, int], Sequence[bytes]]
) -> set[tuple[int, int, bytes]]:
    """Those (day, handler, id) that have a mark."""
    return {
        (day, handler, id)
        for (day, handler), ids in groups.items()
        for chunk in chunks(ids)
        for (id,) in connection.execute(
            f"select id from catga_marks where day = ? and handler = ? and id in ({','.join('?' * len(chunk))})",
            (day, handler, *chunk),
        )
    }
