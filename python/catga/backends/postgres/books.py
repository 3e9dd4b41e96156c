"""What a commit writes beside what its handlers asked for: marks, published messages, parked rows."""

import struct
from collections.abc import Sequence
from typing import Any

from catga.backends.postgres.database import Connection
from catga.messages import NORMAL
from catga.ports.messages import PARTS, Lease, Outgoing
from catga.ports.store import Mark, MarkState, Parked, Unit
from catga.queues import rank_of
from catga.sql.names import Names

_DONE = MarkState.DONE

URGENT = PARTS
"""Added to the part of what has no key and is urgent: it has lanes of its own."""
LANES = 2 * PARTS
"""Lanes of a channel; those of the outbox are negative."""


def lane_of(channel: int, part: int) -> int:
    """Where a part of a channel stands."""
    return channel * LANES + part


def outbox_lane(part: int) -> int:
    """Where a part of the outbox stands."""
    return -1 - part


_HEAD = struct.Struct(">16sbqi")


def packed(message: Outgoing) -> bytes:
    """A row of the outbox: what its relay must know stands before the frame."""
    key = message.key
    head = _HEAD.pack(message.id, message.priority, message.due_ms, -1 if key is None else len(key))
    return head + (key or b"") + message.frame


def unpacked(row: bytes, channel: str, part: int) -> Outgoing:
    """What `packed` made."""
    id, priority, due_ms, length = _HEAD.unpack_from(row)
    end = _HEAD.size + max(0, length)
    key = None if length < 0 else row[_HEAD.size : end]
    return Outgoing(id, channel, part, key, priority, due_ms, row[end:])


class Taken(Exception):
    """A mark is there already, or a parked row is gone: somebody else was first."""


class Books:
    """Gathers the units of a group, and writes all of it with few statements."""

    def __init__(self, names: Names, colocated: bool) -> None:
        self._numbers = names.numbers
        self._colocated = colocated
        self._leases: dict[int, Lease] = {}
        self._done: tuple[list[int], list[int], list[bytes]] = ([], [], [])
        self._marks: list[Mark] = []
        self._messages: tuple[list[int], list[int], list[bytes]] = ([], [], [])
        self._parked: list[Parked] = []
        self._unparked: list[tuple[str, bytes]] = []

    def add(self, unit: Unit) -> None:
        """What this unit writes, after those before it."""
        number = self._numbers
        for lease in unit.leases:
            # By identity: all units of a part come under one object, and comparing costs more than asking twice.
            self._leases[id(lease)] = lease
        days, handlers, ids = self._done
        for mark in unit.marks:
            if mark.state is _DONE and mark.reply is None and not mark.replace:
                days.append(mark.day)
                handlers.append(number[mark.handler])
                ids.append(mark.id)
            else:
                self._marks.append(mark)
        if unit.publish:
            self.publish(unit.publish)
        if unit.park:
            self._parked += unit.park
        if unit.unpark:
            self._unparked += unit.unpark

    def publish(self, batch: Sequence[Outgoing]) -> None:
        """Messages, after those before them."""
        lanes, channels, frames = self._messages
        for message in batch:
            channel = self._numbers[message.channel]
            channels.append(channel)
            if not self._colocated:
                lanes.append(outbox_lane(message.part))
                frames.append(packed(message))
                continue
            urgent = rank_of(message) != NORMAL
            lanes.append(lane_of(channel, message.part + URGENT if urgent else message.part))
            frames.append(message.frame)

    @property
    def plain(self) -> bool:
        """One call writes it."""
        return not (self._marks or self._parked or self._unparked)

    @property
    def arguments(self) -> Sequence[Any]:
        """Of that call."""
        leases = {(lease.scope, lease.part, lease.epoch) for lease in self._leases.values()}
        scopes, parts, epochs = zip(*leases, strict=True) if leases else ((), (), ())
        return [list(scopes), list(parts), list(epochs), *self._done, *self._messages]

    @property
    def messages(self) -> Sequence[list[Any]]:
        """Of the call that writes messages alone."""
        return self._messages

    async def write(self, connection: Connection, schema: str) -> None:
        """In the connection's transaction."""
        if self._unparked:
            await self._unpark(connection, schema)
        if self._marks:
            await self._mark(connection, schema)
        if self._parked:
            await self._park(connection, schema)
        # Last: it closes our tables again.
        await connection.fetchval(booking(schema), *self.arguments)

    async def _unpark(self, connection: Connection, schema: str) -> None:
        gone = await connection.fetch(
            f"delete from {schema}.parked as row using unnest($1::int[], $2::bytea[]) as gone(handler, id) where row.handler = gone.handler and row.id = gone.id returning 1",
            [self._numbers[handler] for handler, _ in self._unparked],
            [id for _, id in self._unparked],
        )
        if len(gone) < len(self._unparked):
            raise Taken

    async def _mark(self, connection: Connection, schema: str) -> None:
        # Replacing ones first: one that does not, for the same message in the same group, is seen to be a duplicate.
        for replace, conflict in (
            (True, "(day, handler, id) do update set state = excluded.state, reply = excluded.reply"),
            (False, "do nothing"),
        ):
            marks = [mark for mark in self._marks if mark.replace is replace]
            if not marks:
                continue
            written = await connection.fetch(
                f"insert into {schema}.marks (day, handler, id, state, reply) select * from unnest($1::int[], $2::int[], $3::bytea[], $4::smallint[], $5::bytea[]) on conflict {conflict} returning 1",
                [mark.day for mark in marks],
                [self._numbers[mark.handler] for mark in marks],
                [mark.id for mark in marks],
                [mark.state.value for mark in marks],
                [mark.reply for mark in marks],
            )
            if len(written) < len(marks):
                raise Taken

    async def _park(self, connection: Connection, schema: str) -> None:
        number = self._numbers
        rows = self._parked
        changes = ", ".join(f"{name} = excluded.{name}" for name in _PARKED)
        await connection.execute(
            f"insert into {schema}.parked (handler, id, {', '.join(_PARKED)}) select handler, id, channel, part, key, state, due_ms, frame, claims, failures, reason, history,"
            f" case when place = 0 then nextval('{schema}.seq') else place end from unnest($1::int[], $2::bytea[], $3::int[], $4::int[], $5::bytea[], $6::text[], $7::bigint[], $8::bytea[],"
            " $9::int[], $10::int[], $11::text[], $12::bytea[], $13::bigint[]) as row(handler, id, channel, part, key, state, due_ms, frame, claims, failures, reason, history, place)"
            f" on conflict (handler, id) do update set {changes}",
            [number[row.handler] for row in rows],
            [row.id for row in rows],
            [number[row.channel] for row in rows],
            [row.part for row in rows],
            [row.key for row in rows],
            [row.state.value for row in rows],
            [row.due_ms for row in rows],
            [row.frame for row in rows],
            [row.claims for row in rows],
            [row.failures for row in rows],
            [row.reason.replace("\0", "") for row in rows],
            [row.history for row in rows],
            [row.order for row in rows],
        )


_PARKED = ("channel", "part", "key", "state", "due_ms", "frame", "claims", "failures", "reason", "history", "place")


def booking(schema: str) -> str:
    """The call that writes marks and messages, and checks leases."""
    return f"select {schema}.book($1, $2, $3, $4, $5, $6, $7, $8, $9)"
