"""A channel's stream as rows: read from where each part was worked to, with nothing that the server would have to remember."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from nats.aio.msg import Msg

from catga.backends.nats.link import Entry, Reading
from catga.backends.nats.streams import Stream
from catga.clock import Bell
from catga.ports.messages import Lease
from catga.ports.store import Store
from catga.queues import End, Row, Want
from catga.queues.line import Line
from catga.queues.packs import BITS

if TYPE_CHECKING:
    from catga.backends.nats.transport import NatsTransport

OURS = "log "
"""Begins a position; other transports write other ones beside it."""
ENTRIES = 64
"""Entries of a part in one answer."""
BYTES = 256 * 1024


class NatsRows:
    """Nothing is acknowledged: how far a part was worked is kept in the app's own store."""

    def __init__(self, transport: "NatsTransport", stream: Stream, leases: Store, channel: str) -> None:
        self._link = transport.link
        self._clock = transport.clock
        self._stream = stream
        self._leases = leases
        self._scope = channel
        self._lines: dict[tuple[int, bool], Line] = {}
        self._bell = Bell(transport.clock)
        self._version = 0
        self._last = 0
        """The highest sequence number that is known to be there."""
        self._any_urgent = False
        """Something urgent is kept: until then the parts' are not asked for."""

    async def open(self) -> None:
        """Listens for the word of those who publish."""
        self._listening = await self._link.client.subscribe(  # pyright: ignore[reportUnknownMemberType]
            self._stream.bell, cb=self._rung
        )

    async def close(self) -> None:
        """Listens no more."""
        await self._listening.unsubscribe()

    def version(self) -> int:
        """Counts what was heard."""
        return self._version

    async def changed(self, version: int, seconds: float) -> None:
        """Publishers ring; one that does not is noticed after a while."""
        until = self._clock.monotonic() + seconds
        while self._version == version and (left := until - self._clock.monotonic()) > 0:
            if await self._bell.wait(min(left, self._link.options.idle)):
                return
            last = await self._stream.last()
            if last > self._last:
                self._last = last
                return

    def wake(self) -> None:
        """Ends every wait in this process."""
        self._bell.ring()

    async def begin(self, leases: Sequence[Lease]) -> Sequence[int]:
        """Where the last holder said that it had ended."""
        positions = await self._leases.positions(self._scope, [lease.part for lease in leases])
        self._last = await self._stream.last()
        for lease in leases:
            ordered, urgent = parsed(positions.get(lease.part))
            self._lines[lease.part, False] = Line(ordered)
            self._lines[lease.part, True] = Line(urgent)
        return [((self._last + 1) << BITS) - 1] * len(leases)

    async def read(
        self, wants: Sequence[Want], most: int, known: Collection[int]
    ) -> tuple[Sequence[Row], Collection[tuple[int, bool]]]:
        """One question for each part of which there is nothing in memory, all at once."""
        wanted = [(self._lines[part, urgent], part, urgent, room) for part, urgent, room in wants]
        empty = [line for line in wanted if not line[0]]
        answers = await self._ask([line for line in empty if self._any_urgent or not line[2]])
        if answers is None:
            # The first urgent ones: they go before what was just read, which is read again.
            self._any_urgent = True
            answers = await self._ask(empty) or {}
        # From here to the return nothing is awaited: a position must not pass rows that nobody holds yet.
        for line, entries in answers.items():
            for entry in entries:
                line.feed(entry.number, entry.payload)
                self._last = max(self._last, entry.number)
        ended = [(part, urgent) for line, part, urgent, _ in empty if not line]
        found: list[Row] = []
        for line, part, urgent, room in wanted:
            taken = line.take(min(room, most - len(found)))
            found += [(part, urgent, number, number, frame, None) for number, frame in taken]
        return found, ended

    async def _ask(self, lines: Sequence[tuple[Line, int, bool, int]]) -> dict[Line, list[Entry]] | None:
        """None where something urgent has come that was not asked for."""
        readings = [
            Reading(self._stream.subject(part, urgent), line.entry, ENTRIES, BYTES) for line, part, urgent, _ in lines
        ]
        if not self._any_urgent:
            # One look at all of them, for nearly nothing.
            first = min((line.entry for (_, urgent), line in self._lines.items() if urgent), default=0)
            readings.append(Reading(self._stream.urgent, first, 1, 1))
        answers = await self._link.read(self._stream.name, readings)
        if not self._any_urgent and answers.pop():
            return None
        return {line: entries for (line, _, _, _), entries in zip(lines, answers, strict=True)}

    async def end(self, items: Sequence[tuple[int, Lease]]) -> Sequence[bool]:
        """Nothing is removed: the position says what has ended, and is kept only under a lease that still stands."""
        now = self._clock.monotonic()
        return [lease.valid_until > now for _, lease in items]

    async def positions(self, ends: Sequence[End]) -> Sequence[str | None]:
        """See the port. What was read was written to the disk before."""
        return [self._position(*end) for end in ends]

    def _position(self, part: int, ordered: Row | None, urgent: Row | None) -> str:
        first, second = (
            self._lines[part, rank].next if row is None else row[2] for rank, row in ((False, ordered), (True, urgent))
        )
        return f"{OURS}{first}/{second}"

    async def _rung(self, message: Msg) -> None:
        self._version += 1
        self._bell.ring()


def parsed(position: str | None) -> tuple[int, int]:
    """The numbers at which a part's lines begin."""
    if position is None or not position.startswith(OURS):
        return 0, 0
    ordered, urgent = position.removeprefix(OURS).split("/")
    return int(ordered), int(urgent)
