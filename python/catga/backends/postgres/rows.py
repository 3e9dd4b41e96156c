"""The queue's rows in PostgreSQL, as instances compete for them: a log per part, read by the difference of snapshots."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from catga.backends.postgres.books import URGENT, lane_of
from catga.backends.postgres.failures import LOST
from catga.backends.postgres.lanes import Found, LaneReader
from catga.backends.postgres.reading import BEGINNING, Lane, Place, Seen, before
from catga.clock import Bell
from catga.ports.messages import Lease
from catga.ports.store import Store
from catga.queues import Row

if TYPE_CHECKING:
    from catga.backends.postgres.store import PostgresStore


class Part:
    """Both lanes of one claim. A question that is under way when the part is claimed anew moves the old ones."""

    __slots__ = ("ordered", "urgent")

    def __init__(self, ordered: Place, urgent: Place) -> None:
        self.ordered: Lane = Lane(ordered)
        self.urgent: Lane = Lane(urgent)


class PostgresRows:
    """One channel's. What has ended stays until its partition is dropped; how far each part has been worked is kept with its
    lease."""

    def __init__(self, store: "PostgresStore", leases: Store, channel: str) -> None:
        self._store = store
        self._leases = leases
        self._scope = channel
        self._channel = store.names.number(channel)
        self._reader = LaneReader(store.options.schema)
        self._parts: dict[int, Part] = {}
        self._bell: Bell = store.bell
        self._version = 0
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
            if await self._bell.wait(min(left, self._rest)) or await self._news():
                return

    def wake(self) -> None:
        """Ends every wait in this process."""
        self._bell.ring()

    async def begin(self, leases: Sequence[Lease]) -> Sequence[int]:
        """Where the last holder said that it had ended."""
        positions = await self._leases.positions(self._scope, [lease.part for lease in leases])
        for lease in leases:
            text = positions.get(lease.part)
            ordered, urgent = text.split("/") if text else ("", "")
            self._parts[lease.part] = Part(
                Place.parse(ordered) if ordered else BEGINNING, Place.parse(urgent) if urgent else BEGINNING
            )
        async with self._store.looking() as connection:
            # Twice: the number that was drawn belongs to what is seen next.
            await self._reader.glance(connection)
            now = await self._reader.glance(connection)
            drawn = (await self._reader.glance(connection)).drawn
        return [max(now.drawn, drawn)] * len(leases)

    async def read(self, wants: Sequence[tuple[int, int]], most: int) -> Sequence[Row]:
        """One question for all parts."""
        left = most
        asked: list[tuple[int, Lane, int]] = []
        for part, room in wants:
            if left <= 0:
                break
            asked.append((lane_of(self._channel, part), self._parts[part].ordered, min(room, left)))
            left -= room
        return await self._ask(asked)

    async def urgent(self, parts: Sequence[int], known: int, most: int) -> Sequence[Row]:
        """See the port; what is known does not come again."""
        room = max(1, most // max(1, len(parts)))
        asked = [(lane_of(self._channel, part + URGENT), self._parts[part].urgent, room) for part in parts[:most]]
        return await self._ask(asked)

    async def end(self, items: Sequence[tuple[int, Lease]]) -> Sequence[bool]:
        """Nothing is removed: the position says what has ended."""
        return [True] * len(items)

    def position(self, part: int, ordered: Row | None, urgent: Row | None) -> str:
        """See the port."""
        lanes = self._parts[part]
        places = [
            lane.place if row is None else before(row[4], row[1])
            for lane, row in ((lanes.ordered, ordered), (lanes.urgent, urgent))
        ]
        return "/".join(place.text for place in places)

    async def _ask(self, asked: Sequence[tuple[int, Lane, int]]) -> list[Row]:
        if not asked:
            return []
        async with self._store.looking() as connection:
            found = await self._reader.read(connection, asked)
        if found:
            self._rest = 0.0
        return [self._row(row) for row in found]

    def _row(self, found: Found) -> Row:
        return found.lane % URGENT, found.number, found.number, found.frame, found.step

    async def _news(self) -> bool:
        try:
            async with self._store.looking() as connection:
                now: Seen = await self._reader.glance(connection)
        except LOST:
            return True
        return any(lane.may_have_more(now) for part in self._parts.values() for lane in (part.ordered, part.urgent))
