"""The outbox: a stream a part, read from its beginning; what was sent is deleted."""

from collections.abc import Collection, Sequence

import msgspec

from catga.backends.redis.failures import store_error
from catga.backends.redis.link import Link
from catga.backends.redis.scripts import OUTBOX, SENT
from catga.ports.messages import Lease, Outgoing

_decode = msgspec.msgpack.Decoder(tuple[bytes, str, int, bytes | None, int, int, bytes]).decode


class Outbox:
    """Of one store object, for the relay beside it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._entries: dict[tuple[int, bytes], str] = {}
        """Of what was read last: where each message stands."""

    async def read(self, leases: Sequence[Lease], most: int) -> Sequence[Outgoing]:
        """In the order of their commits."""
        self._link.check()
        try:
            answer = await OUTBOX(self._link, [lease.part for lease in leases], most)
        except Exception as error:
            raise store_error(error, self._link.options.where) from error
        found: list[Outgoing] = []
        entries: dict[tuple[int, bytes], str] = {}
        for part, rows in answer:
            for entry, (_, row) in rows:
                message = Outgoing(*_decode(row))
                entries[part, message.id] = entry.decode()
                found.append(message)
        self._entries = entries
        return found

    async def sent(self, leases: Sequence[Lease], rows: Sequence[Outgoing]) -> Collection[int]:
        """Removes what was read last."""
        entries: dict[int, list[str]] = {lease.part: [] for lease in leases}
        for row in rows:
            entry = self._entries.get((row.part, row.id))
            if entry is not None and row.part in entries:
                entries[row.part].append(entry)
        flat = [word for lease in leases for word in (lease.scope, lease.part, lease.epoch, entries[lease.part])]
        try:
            return set(await SENT(self._link, *flat))
        except Exception as error:
            raise store_error(error, self._link.options.where) from error
