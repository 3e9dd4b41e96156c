"""The queue's rows in PostgreSQL, as instances compete for them: a log per part, read by the difference of snapshots."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from catga.backends.postgres.books import URGENT, lane_of
from catga.backends.postgres.database import make_sure
from catga.backends.postgres.lanes import Answer, Found, LaneReader
from catga.backends.postgres.lanes import Want as LaneWant
from catga.backends.postgres.reading import BEGINNING, Lane, Place, before
from catga.errors import StoreError
from catga.ports.messages import PARTS, Lease
from catga.ports.store import Store
from catga.queues import End, Restarted, Row, Want

if TYPE_CHECKING:
    from catga.backends.postgres.store import PostgresStore


OURS = "seen "
"""Begins a position; other transports write other ones beside it."""


GREED = 4
"""So many times as many rows are asked for as are wanted, shared between lanes: most have nothing."""


def parsed(position: str) -> tuple[Place, Place]:
    """The places of both lanes of a part."""
    ordered, urgent = position.removeprefix(OURS).split("/")
    return Place.parse(ordered), Place.parse(urgent)


class Part:
    """Both lanes of one claim. A question that is under way when the part is claimed anew moves the old ones."""

    __slots__ = ("era", "ordered", "urgent")

    def __init__(self, ordered: Place, urgent: Place, era: int) -> None:
        self.era: int = era
        """Of the connection on which it is read."""
        self.ordered: Lane = Lane(ordered)
        self.urgent: Lane = Lane(urgent)

    def lane(self, urgent: bool) -> Lane:
        """One of them."""
        return self.urgent if urgent else self.ordered


class PostgresRows:
    """One channel's. What has ended stays until its partition is dropped; how far each part has been worked is kept with its
    lease."""

    def __init__(self, store: "PostgresStore", leases: Store, channel: str) -> None:
        self._store = store
        self._leases = leases
        self._scope = channel
        self._channel = store.names.number(channel)
        urgent = lane_of(self._channel, URGENT)
        self._reader = LaneReader(store.options.schema, (urgent, urgent + PARTS - 1))
        self._parts: dict[int, Part] = {}
        self._any_urgent = False
        """Something is in the lanes of urgent messages: until then they are not asked for."""
        self._rest = 0.0

    def version(self) -> int:
        """Counts what this process has committed."""
        return self._store.version

    async def changed(self, version: int, seconds: float) -> None:
        """Looks again sooner while there is work, later while there is none; at once when this process has committed."""
        options, clock = self._store.options, self._store.clock
        until = clock.monotonic() + seconds
        while self._store.version == version and (left := until - clock.monotonic()) > 0:
            self._rest = min(options.idle, max(options.poll, self._rest * 1.5))
            if await self._store.bell.wait(min(left, self._rest)) or await self._news():
                return

    def wake(self) -> None:
        """Ends every wait in this process."""
        self._store.bell.ring()

    async def begin(self, leases: Sequence[Lease]) -> Sequence[int]:
        """Where the last holder said that it had ended."""
        positions = await self._leases.positions(self._scope, [lease.part for lease in leases])
        async with self._store.database.look() as (connection, era):
            await self._reader.glance(connection)
            for lease in leases:
                text = positions.get(lease.part)
                places = (BEGINNING, BEGINNING) if text is None else parsed(text)
                self._parts[lease.part] = Part(*places, era)
        return [self._reader.drawn] * len(leases)

    async def read(
        self, wants: Sequence[Want], most: int, known: Collection[int]
    ) -> tuple[Sequence[Row], Collection[tuple[int, bool]]]:
        """One question for all parts."""
        while True:
            found, ended, over = await self._look(wants, most)
            if found or over:
                return found, ended

    async def _look(self, wants: Sequence[Want], most: int) -> tuple[list[Row], list[tuple[int, bool]], bool]:
        asked, lanes, answer = await self._ask(wants, most)
        if answer.watched and not self._any_urgent:
            # The first urgent ones: they go before what was just read, which is read again.
            self._any_urgent = True
            asked, lanes, answer = await self._ask(wants, most)
        # From here to the return nothing is awaited: a position must not pass rows that nobody holds yet.
        self._any_urgent = answer.watched
        over = not any(want.lane.within for want in lanes)
        found, through = answer.take(lanes, most)
        if found:
            self._rest = 0.0
        ended = [(part, urgent) for (part, urgent, _), over in zip(asked, through, strict=True) if over]
        if not answer.watched:
            ended += [(part, True) for part, urgent, _ in wants if urgent]
        return [self._row(row) for row in found], ended, over

    async def end(self, items: Sequence[tuple[int, Lease]]) -> Sequence[bool]:
        """Nothing is removed: the position says what has ended, and is kept only under a lease that still stands."""
        now = self._store.clock.monotonic()
        return [lease.valid_until > now for _, lease in items]

    async def close(self) -> None:
        """Nothing was opened."""

    async def positions(self, ends: Sequence[End]) -> Sequence[str | None]:
        """See the port."""
        said = [(self._parts[end[0]].era, self._position(*end)) for end in ends]
        async with self._store.database.look() as (connection, era):
            await make_sure(connection)
            return [position if begun == era else None for begun, position in said]

    def _position(self, part: int, ordered: Row | None, urgent: Row | None) -> str:
        lanes = self._parts[part]
        places = [
            lane.place if row is None else before(row[5], row[2])
            for lane, row in ((lanes.ordered, ordered), (lanes.urgent, urgent))
        ]
        return OURS + "/".join(place.text for place in places)

    async def _ask(self, wants: Sequence[Want], most: int) -> tuple[Sequence[Want], Sequence[LaneWant], Answer]:
        asked = [want for want in wants if self._any_urgent or not want[1]]
        # What is not taken of an answer has to be asked for again.
        share = max(1, GREED * most // max(1, len(asked)))
        lanes: list[LaneWant] = []
        for part, urgent, room in asked:
            number = lane_of(self._channel, part + URGENT * urgent)
            lanes.append(LaneWant(number, self._parts[part].lane(urgent), min(room, share, most)))
        async with self._store.database.look() as (connection, era):
            if any(self._parts[part].era != era for part, _, _ in asked):
                raise Restarted
            return asked, lanes, await self._reader.ask(connection, lanes)

    def _row(self, found: Found) -> Row:
        urgent, part = divmod(found.lane - lane_of(self._channel, 0), URGENT)
        return part, bool(urgent), found.number, found.number, found.frame, found.step

    async def _news(self) -> bool:
        try:
            async with self._store.database.look() as (connection, era):
                if any(part.era != era for part in self._parts.values()):
                    return True
                now = await self._reader.glance(connection)
        except StoreError:
            return True
        return any(lane.may_have_more(now) for part in self._parts.values() for lane in (part.ordered, part.urgent))
