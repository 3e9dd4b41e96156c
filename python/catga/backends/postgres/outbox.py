"""The outbox as relays read it: a lane per part; how far it has been sent is kept now and then."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec

from catga.backends.postgres.books import outbox_lane, unpacked
from catga.backends.postgres.database import INSIDE, RELAXED, Connection, Database
from catga.backends.postgres.lanes import LaneReader, Want
from catga.backends.postgres.reading import BEGINNING, Lane, Place, Step, before
from catga.clock import Clock
from catga.ports.messages import Lease, Outgoing

SAVE = 1.0
"""Seconds between two savings: what was sent since is sent again after a crash, under the same ids."""
GREED = 4
"""Lists that one question brings: asking costs as much as some hundred rows."""
BYTES = 8 * 1024 * 1024
"""Of one answer, as far as can be told from the last one."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """One that was read, and not sent yet."""

    message: Outgoing
    number: int
    step: Step


class Part:
    """One part under one lease: what was read of it and not sent."""

    def __init__(self, lease: Lease, place: Place) -> None:
        self.lease: Lease = lease
        self.lane: Lane = Lane(place)
        self.rows: list[Row] = []
        self.saved: str = place.text

    @property
    def place(self) -> Place:
        """In front of the first row that was not sent."""
        if not self.rows:
            return self.lane.place
        return before(self.rows[0].step, self.rows[0].number)


class Outbox:
    """Of one store object, for the relay beside it."""

    def __init__(self, database: Database, clock: Clock, text: Callable[[int], str]) -> None:
        self._database = database
        self._schema = database.options.schema
        self._clock = clock
        self._text = text
        self._reader = LaneReader(self._schema)
        self._parts: dict[int, Part] = {}
        self._saved = clock.monotonic()
        self._size = 1024.0
        """Bytes of a row, in the last answer."""
        self._era = 0
        """Of the connection on which the parts are read."""

    async def read(self, leases: Sequence[Lease], most: int) -> Sequence[Outgoing]:
        """One question for all parts of which there is not enough in memory; all of them anew, if the server has crashed."""
        while True:
            await self._begin([lease for lease in leases if not self._ours(lease)])
            parts = [self._parts[lease.part] for lease in leases]
            if await self._look(parts, most):
                break
        rows: list[Outgoing] = []
        for part in parts:
            rows += [row.message for row in part.rows[: most - len(rows)]]
        if not rows:
            # Nobody will say any more that something was sent.
            await self._save_in_time()
        return rows

    async def _look(self, parts: Sequence[Part], most: int) -> bool:
        room = max(1, min(GREED * most, int(BYTES / self._size / max(1, len(parts)))))
        enough = max(1, room // GREED)
        # Where one has too few, all are filled up: the question is what costs.
        short = (
            [part for part in parts if len(part.rows) < room] if any(len(part.rows) < enough for part in parts) else []
        )
        wants = [Want(outbox_lane(part.lease.part), part.lane, room - len(part.rows)) for part in short]
        while wants:
            async with self._looking() as connection:
                if connection is None:
                    return False
                answer = await self._reader.ask(connection, wants)
            by_lane = {outbox_lane(part.lease.part): part for part in short}
            again = any(want.lane.within for want in wants)
            found, _ = answer.take(wants, len(wants) * room)
            size = 0
            for row in found:
                part = by_lane[row.lane]
                message = unpacked(row.frame, self._text(row.channel), part.lease.part)
                part.rows.append(Row(message, row.number, row.step))
                size += len(row.frame)
            if found:
                self._size = size / len(found)
            if found or not again:
                break
        return True

    @asynccontextmanager
    async def _looking(self) -> AsyncGenerator[Connection | None]:
        """The connection that was looked with before; None where it had to be made again, and what was read is forgotten."""
        async with self._database.look() as (connection, era):
            if era != self._era:
                self._era = era
                self._parts.clear()
                # What is read first belongs to numbers up to here: a place that knew of none would, whenever it is begun from,
                # have all old rows looked at.
                await self._reader.glance(connection)
                yield None
            else:
                yield connection

    async def sent(self, leases: Sequence[Lease], rows: Sequence[Outgoing]) -> Collection[int]:
        """See the port."""
        held = await self._held(leases)
        for lease in leases:
            if lease.part not in held:
                self._parts.pop(lease.part, None)
        await self._begin([lease for lease in leases if lease.part in held and not self._ours(lease)])
        gone: dict[int, set[bytes]] = {part: set() for part in held}
        for message in rows:
            if message.part in held:
                gone[message.part].add(message.id)
        for number, ids in gone.items():
            part = self._parts[number]
            part.rows = [row for row in part.rows if row.message.id not in ids]
        await self._save_in_time()
        return {lease.part for lease in leases} - held

    async def _save_in_time(self) -> None:
        if self._clock.monotonic() >= self._saved + SAVE:
            await self.save()

    async def save(self) -> None:
        """Keeps how far each part has been sent, where its lease still stands."""
        self._saved = self._clock.monotonic()
        if all(part.place.text == part.saved for part in self._parts.values()):
            return
        # Where it looks, so that what it has seen is as sure to be there after a crash as this is.
        async with self._looking() as connection:
            if connection is not None:
                await self._save(connection)

    async def _save(self, connection: Connection) -> None:
        moved = {part: text for part in self._parts.values() if (text := part.place.text) != part.saved}
        async with connection.transaction():
            await connection.execute(INSIDE)
            await connection.execute(RELAXED)
            await connection.execute(
                f"insert into {self._schema}.outbox (part, position) select moved.part, moved.position from unnest($1::text[], $2::int[], $3::bigint[], $4::text[]) as moved(scope, part, epoch, position)"
                f" join {self._schema}.leases as lease on lease.scope = moved.scope and lease.part = moved.part and lease.epoch = moved.epoch"
                " on conflict (part) do update set position = excluded.position",
                [part.lease.scope for part in moved],
                [part.lease.part for part in moved],
                [part.lease.epoch for part in moved],
                list(moved.values()),
            )
        for part, text in moved.items():
            part.saved = text

    async def places(self) -> Mapping[int, Place]:
        """How far each part has been sent, whoever did it: as this process knows, or as it was kept."""
        rows = await self._database.fetch(f"select part, position from {self._schema}.outbox")
        return {part: Place.parse(text) for part, text in rows} | {part: own.place for part, own in self._parts.items()}

    def reached(self) -> Mapping[int, Place]:
        """How far each part has been read here."""
        return {number: part.lane.place for number, part in self._parts.items()}

    def unsent(self) -> int:
        """How many of those were not sent."""
        return sum(len(part.rows) for part in self._parts.values())

    def _ours(self, lease: Lease) -> bool:
        known = self._parts.get(lease.part)
        return known is not None and (known.lease.scope, known.lease.epoch) == (lease.scope, lease.epoch)

    async def _begin(self, leases: Sequence[Lease]) -> None:
        if leases:
            rows = await self._database.fetch(f"select part, position from {self._schema}.outbox")
            kept = dict(rows)
            for lease in leases:
                text = kept.get(lease.part)
                self._parts[lease.part] = Part(lease, BEGINNING if text is None else Place.parse(text))

    async def _held(self, leases: Sequence[Lease]) -> set[int]:
        rows = await self._database.fetch(
            f"select lease.part from unnest($1::text[], $2::int[], $3::bigint[]) as wanted(scope, part, epoch) join {self._schema}.leases as lease"
            " on lease.scope = wanted.scope and lease.part = wanted.part and lease.epoch = wanted.epoch",
            [lease.scope for lease in leases],
            [lease.part for lease in leases],
            [lease.epoch for lease in leases],
        )
        return {part for (part,) in rows}
