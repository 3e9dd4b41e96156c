"""A channel's streams as rows: read from where each part was worked to, with nothing that the server would have to remember of
single messages."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from catga.backends.redis import scripts
from catga.backends.redis.failures import store_error
from catga.ports.messages import Lease
from catga.ports.store import Store
from catga.queues import End, Row, Want
from catga.queues.line import Line
from catga.queues.packs import BITS, FRAMES

if TYPE_CHECKING:
    from catga.backends.redis.store import RedisStore

POSITION = re.compile(r"entry (\d+)\.(\d+)/(\d+)\.(\d+)")
"""A position; other transports write other ones beside it."""
BYTES = 4 * 1024 * 1024
"""Of one answer, as far as can be told from the last ones: the server counts entries only."""
FEWEST, MOST = 4, 128
"""Entries of a line in one answer."""
JOIN = 60.0
"""Seconds between two words to the streams that this app is still there."""


class RedisRows:
    """Nothing is acknowledged: how far a part was worked is kept in the app's own store, and what all apps have passed is
    trimmed."""

    def __init__(self, store: "RedisStore", leases: Store, channel: str) -> None:
        self._store = store
        self._leases = leases
        self._channel = channel
        tag = f"{{{store.options.prefix}}}:"
        self._counter = f"{tag}number:{channel}"
        self._keys = (f"{tag}queue:", f"{tag}urgent:")
        self._lines: dict[tuple[int, bool], Line] = {}
        self._last = 0
        """The highest entry that is known to be there."""
        self._entries = FEWEST
        self._rest = 0.0
        self._joined = 0.0

    def version(self) -> int:
        """Counts what this process has committed."""
        return self._store.version

    async def changed(self, version: int, seconds: float) -> None:
        """Looks again sooner while there is work, later while there is none; at once when this process has committed."""
        options, clock = self._store.options, self._store.clock
        until = clock.monotonic() + seconds
        while self._store.version == version and (left := until - clock.monotonic()) > 0:
            self._rest = min(options.idle, max(options.poll, self._rest * 1.5))
            if await self._store.bell.wait(min(left, self._rest)):
                return
            if clock.monotonic() - self._joined > JOIN:
                await self._trim({})
            if await self._latest() > self._last:
                return

    def wake(self) -> None:
        """Ends every wait in this process."""
        self._store.bell.ring()

    async def begin(self, leases: Sequence[Lease]) -> Sequence[int]:
        """Where the last holder said that it had ended."""
        # Before anything is read: from now on the others' trimming waits for this app.
        await self._trim({})
        positions = await self._leases.positions(self._channel, [lease.part for lease in leases])
        self._last = max(self._last, await self._latest())
        for lease in leases:
            for urgent, number in enumerate(parsed(positions.get(lease.part))):
                self._lines[lease.part, bool(urgent)] = Line(number)
        return [((self._last + 1) << BITS) - 1] * len(leases)

    async def read(
        self, wants: Sequence[Want], most: int, known: Collection[int]
    ) -> tuple[Sequence[Row], Collection[tuple[int, bool]]]:
        """One question for all lines of which there is nothing in memory."""
        wanted = [(self._lines[part, urgent], part, urgent, room) for part, urgent, room in wants]
        empty = {(part, urgent): line for line, part, urgent, _ in wanted if not line}
        answer = await self._ask(empty) if empty else {}
        # From here to the return nothing is awaited: a position must not pass rows that nobody holds yet.
        for place, entries in answer.items():
            self._feed(empty[place], entries)
        ended = [place for place, line in empty.items() if not line]
        found: list[Row] = []
        for line, part, urgent, room in wanted:
            taken = line.take(min(room, most - len(found)))
            found += [(part, urgent, number, number, frame, None) for number, frame in taken]
        if found:
            self._rest = 0.0
        return found, ended

    async def end(self, items: Sequence[tuple[int, Lease]]) -> Sequence[bool]:
        """Nothing is removed: the position says what has ended, and is kept only under a lease that still stands."""
        now = self._store.clock.monotonic()
        return [lease.valid_until > now for _, lease in items]

    async def positions(self, ends: Sequence[End]) -> Sequence[str | None]:
        """See the port. A server that lost its last entries gives no number again that it gave to them."""
        said = [self._position(*end) for end in ends]
        # What was kept before, and only that, is not asked for again by any holder to come.
        await self._trim(await self._leases.positions(self._channel, [part for part, _, _ in ends]))
        return said

    async def close(self) -> None:
        """Nothing was opened."""

    def _feed(self, line: Line, entries: Sequence[Any]) -> None:
        size = 0
        for id, fields in entries:
            entry = int(id.partition(b"-")[0])
            payload = fields[1] if len(fields) > 1 else b""
            line.feed(entry, payload)
            size += len(payload)
            self._last = max(self._last, entry)
        if size:
            share = BYTES // max(1, len(self._lines))
            self._entries = max(FEWEST, min(MOST, share * len(entries) // size))

    async def _ask(self, lines: Mapping[tuple[int, bool], Line]) -> dict[tuple[int, bool], Sequence[Any]]:
        places = {f"{self._keys[urgent]}{part}:{self._channel}".encode(): (part, urgent) for part, urgent in lines}
        after = [f"{line.entry - 1}-1" if line.entry else "0" for line in lines.values()]
        answer = await self._tell("XREAD", "COUNT", self._entries, "STREAMS", *places, *after)
        return {places[key]: entries for key, entries in answer or ()}

    def _position(self, part: int, ordered: Row | None, urgent: Row | None) -> str:
        first, second = (
            self._lines[part, rank].next if row is None else row[2] for rank, row in ((False, ordered), (True, urgent))
        )
        return f"entry {_text(first)}/{_text(second)}"

    async def _trim(self, kept: Mapping[int, str]) -> None:
        self._joined = self._store.clock.monotonic()
        floors = [
            word for part, position in kept.items() for word in (part, *(number >> BITS for number in parsed(position)))
        ]
        keep = int(self._store.options.keep * 1e6)
        await self._store.run(scripts.TRIM, self._channel, self._leases.store_id, keep, floors)

    async def _latest(self) -> int:
        return int(await self._tell("GET", self._counter) or 0)

    async def _tell(self, *words: Any) -> Any:
        try:
            return await self._store.link.ask(*words)
        except Exception as error:
            raise store_error(error, self._store.options.where) from error


def parsed(position: str | None) -> tuple[int, int]:
    """The numbers at which a part's lines begin."""
    found = POSITION.fullmatch(position or "")
    if found is None:
        return 0, 0
    entry, place, urgent, second = map(int, found.groups())
    return entry << BITS | place, urgent << BITS | second


def _text(number: int) -> str:
    return f"{number >> BITS}.{number & (FRAMES - 1)}"
