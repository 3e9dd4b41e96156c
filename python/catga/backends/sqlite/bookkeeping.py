"""What a commit writes beside what its handlers asked for: marks, published messages, parked rows, ended deliveries."""

import sqlite3
from collections.abc import Mapping, Sequence

from catga.backends.sqlite.lists import chunks, delete_rows, insert_ids, insert_rows
from catga.backends.sqlite.places import place, take_turns
from catga.ports.messages import Outgoing
from catga.ports.store import Mark, MarkState, Parked, Unit
from catga.queues import rank_of
from catga.sql.names import Names

_DONE = MarkState.DONE


class Bookkeeping:
    """Gathers the units of a group, and writes each table once."""

    def __init__(self, connection: sqlite3.Connection, names: Names, colocated: bool) -> None:
        self._connection = connection
        self._names = names
        self._colocated = colocated
        self._done: dict[tuple[int, str], list[bytes]] = {}
        """Ids of plain marks, by day and handler."""
        self._marks: list[Mark] = []
        """The others."""
        self._published: list[Outgoing] = []
        self._parked: list[Parked] = []
        self._settled: list[int] = []

    def add(self, unit: Unit) -> None:
        """What this unit writes, after those before it."""
        for mark in unit.marks:
            if mark.state is _DONE and mark.reply is None and not mark.replace:
                place = (mark.day, mark.handler)
                if (ids := self._done.get(place)) is None:
                    ids = self._done[place] = []
                ids.append(mark.id)
            else:
                self._marks.append(mark)
        if unit.publish:
            self._published += unit.publish
        if unit.park:
            self._parked += unit.park
        if unit.settle:
            self._settled += unit.settle

    def write(self) -> None:
        """`sqlite3.IntegrityError` where a mark is there that should not be."""
        self._write_marks()
        if self._published:
            if self._colocated:
                insert_queued(self._connection, self._names, self._published)
            else:
                self._write_outbox()
        if self._parked:
            self._write_parked()
        delete_rows(self._connection, "delete from catga_queue where number in", self._settled)

    def _write_marks(self) -> None:
        number = self._names.numbers
        rows: dict[bool, list[object]] = {True: [], False: []}
        for mark in self._marks:
            rows[mark.replace] += (mark.day, number[mark.handler], mark.id, mark.state.value, mark.reply)
        # Replacing ones first: one that does not, for the same message in the same group, is seen to be a duplicate.
        insert_rows(self._connection, "insert or replace into catga_marks", "(?,?,?,?,?)", rows[True])
        insert_rows(self._connection, "insert into catga_marks", "(?,?,?,?,?)", rows[False])
        for (day, handler), ids in self._done.items():
            insert_ids(
                self._connection, f"insert into catga_marks select {day},{number[handler]},id,{_DONE:d},null", ids
            )

    def _write_outbox(self) -> None:
        values = [
            value for m in self._published for value in (m.part, m.id, m.channel, m.key, m.priority, m.due_ms, m.frame)
        ]
        head = "insert into catga_outbox (part, id, channel, key, priority, due_ms, frame)"
        insert_rows(self._connection, head, "(?,?,?,?,?,?,?)", values)

    def _write_parked(self) -> None:
        number = self._names.numbers
        turn = take_turns(self._connection, len(self._parked))
        values: list[object] = []
        for n, row in enumerate(self._parked, 1):
            values += (number[row.handler], row.id, number[row.channel], row.part, row.key, row.state.value, row.due_ms)
            values += (row.frame, row.claims, row.failures, row.reason, row.history, row.order or turn + n)
        head, row_text = "insert or replace into catga_parked", f"({','.join('?' * 13)})"
        insert_rows(self._connection, head, row_text, values)


def insert_queued(connection: sqlite3.Connection, names: Names, messages: Sequence[Outgoing]) -> None:
    """Into the queue in this file, in order."""
    turn = take_turns(connection, len(messages))
    number = names.numbers
    places: dict[tuple[str, int, int], int] = {}
    rows: list[tuple[int, bytearray]] = []
    for n, message in enumerate(messages, turn + 1):
        stands = (message.channel, rank_of(message), message.part)
        if (first := places.get(stands)) is None:
            first = places[stands] = place(number[message.channel], *stands[1:])
        # A bytearray is bound as it is; for bytes the driver first looks for an adapter, at the cost of the row.
        rows.append((first + n, bytearray(message.frame)))
    connection.executemany("insert into catga_queue values (?,?)", rows)


def find_marks(
    connection: sqlite3.Connection, groups: Mapping[tuple[int, int], Sequence[bytes]]
) -> set[tuple[int, int, bytes]]:
    """Those (day, handler, id) that have a mark."""
    return {
        (day, handler, id)
        for (day, handler), ids in groups.items()
        for marks, chunk in chunks(ids)
        for (id,) in connection.execute(
            f"select id from catga_marks where day = ? and handler = ? and id in {marks}", (day, handler, *chunk)
        )
    }
