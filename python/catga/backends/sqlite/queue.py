"""The queue in a SQLite file: parts, leases and epochs shared by the processes of one machine."""

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from catga.backends.sqlite.database import delete_rows, insert_rows
from catga.clock import sleep
from catga.errors import CatgaError
from catga.messages import NORMAL
from catga.ports.messages import PARTS, Delivery, Lease, Outgoing
from catga.ports.transport import Capabilities, Sent, Settle, Settled

if TYPE_CHECKING:
    from catga.backends.sqlite.store import SqliteStore

WINDOW = 128
"""Deliveries of one part that are out at once. After a crash this many of the part's oldest are suspects."""


class SqliteTransport:
    """Publishes into, and consumes from, the queue of one file."""

    def __init__(self, store: "SqliteStore") -> None:
        self._store = store
        self.capabilities: Capabilities = Capabilities(
            accepts_durably=True, ordered_parts=True, max_bytes=512 * 1024 * 1024, store_id=store.store_id
        )

    async def open(self) -> None:
        """Opens the file, if the app's store has not."""
        await self._store.open()

    async def close(self) -> None:
        """Closes it, if nobody else uses it."""
        await self._store.close()

    async def publish(self, batch: Sequence[Outgoing]) -> Sequence[Sent]:
        """All of it in one commit."""
        await self._store.declare([message.channel for message in batch])
        number = self._store.names.number
        rows = [
            (number(m.channel), m.part, m.priority if m.key is None and m.priority < NORMAL else None, m.frame)
            for m in batch
        ]
        await self._store.write(
            lambda connection: insert_rows(connection, "insert into catga_queue (channel, part, express, frame)", rows)
        )
        self._store.bell.ring()
        return [Sent.ACCEPTED] * len(batch)

    async def consume(self, channel: str, owner: str) -> "SqliteConsumer":
        """Joins the competing instances of this channel."""
        await self._store.declare([channel])
        consumer = SqliteConsumer(self._store, channel, owner)
        await consumer.start()
        return consumer


class SqliteConsumer:
    """Reads the parts it holds a lease on, each in order; unkeyed urgent messages before the rest."""

    def __init__(self, store: "SqliteStore", channel: str, owner: str) -> None:
        self._store = store
        self._channel = channel
        self._owner = owner
        self._leases: dict[int, Lease] = {}
        self._read: dict[int, int] = {}
        self._suspects: dict[int, int] = {}
        self._out: dict[int, tuple[int, int]] = {}
        self._count: dict[int, int] = {}
        self._ttl = store.options.lease
        self._keeper: asyncio.Task[None] | None = None
        self._wanting: set[int] = set()
        # Read out of turn, because they were urgent, and not passed by the part's own reading yet.
        self._ahead: dict[int, set[int]] = {}
        self._stopped = False

    async def start(self) -> None:
        """Claims a first share and keeps renewing it."""
        await self._renew()
        self._keeper = asyncio.create_task(self._keep(), name=f"catga-leases-{self._channel}")

    def parts(self) -> Sequence[int]:
        """Held, and not about to be given to another instance."""
        now = self._store.clock.monotonic()
        return [part for part, lease in self._leases.items() if part not in self._wanting and lease.valid_until > now]

    def congested(self) -> bool:
        """See the port."""
        return any(count >= WINDOW for count in self._count.values())

    def lease_of(self, part: int) -> Lease | None:
        """What a commit of this part's work is fenced by."""
        return self._leases.get(part)

    async def receive(self, most: int, wait: float) -> Sequence[Delivery]:
        """See the port. Between processes a commit is noticed by polling the file's version."""
        clock, database = self._store.clock, self._store.database
        until = clock.monotonic() + wait
        while not self._stopped:
            version = database.version()
            if found := self._look(most):
                return found
            while database.version() == version:
                left = until - clock.monotonic()
                if left <= 0 or self._stopped:
                    return []
                if await self._store.bell.wait(min(left, self._store.options.poll)):
                    break
        return []

    def settled(self, tokens: Sequence[int]) -> None:
        """They were ended inside a commit of this store."""
        for token in tokens:
            part, epoch = self._out.pop(token, (-1, 0))
            lease = self._leases.get(part)
            if lease is not None and lease.epoch == epoch:
                if self._count[part] >= WINDOW:
                    self._store.bell.ring()
                self._count[part] -= 1

    async def settle(self, items: Sequence[tuple[int, Settle]]) -> Sequence[Settled]:
        """Each under the lease it was received with; one that was superseded changes nothing."""
        done = [token for token, how in items if how is not Settle.RELEASE]

        def end(connection: sqlite3.Connection) -> list[Settled]:
            epochs = dict(
                connection.execute("select part, epoch from catga_leases where scope = ?", (self._channel,)).fetchall()
            )
            fresh = {
                token
                for token, _ in items
                if token in self._out and epochs.get(self._out[token][0]) == self._out[token][1]
            }
            delete_rows(connection, "delete from catga_queue where seq in", [token for token in done if token in fresh])
            return [Settled.OK if token in fresh else Settled.STALE for token, _ in items]

        outcome = await self._store.write(end)
        for token, how in items:
            if how is Settle.RELEASE and token in self._out:
                part = self._out[token][0]
                self._read[part] = min(self._read.get(part, 0), token - 1)
        self.settled([token for token, _ in items])
        return outcome

    def rewind(self) -> None:
        """Everything that is not settled is received again, in order."""
        for part in self._leases:
            self._end(part)
            self._read[part] = 0

    async def alone(self, delivery: Delivery) -> int:
        """Records that a suspect is about to be worked alone; how many such claims ended without a word before."""
        lease = self._leases.get(delivery.part)
        return 0 if lease is None else await self._store.alone(lease, int(delivery.token))

    async def stop(self) -> None:
        """Gives back every part; what is still out is read again by its next holder."""
        self._stopped = True
        self._store.bell.ring()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        leases = list(self._leases.values())
        self._leases.clear()
        await self._store.release(leases, self._owner, leave=True)

    def _look(self, most: int) -> list[Delivery]:
        parts = self.parts()
        if not parts:
            return []
        channel = self._store.names.number(self._channel)
        # Fair between parts: each gives its share, those with more to give fill what is left next time.
        share = max(1, most // len(parts))
        asks = [(part, self._read.get(part, 0), min(share, WINDOW - self._count.get(part, 0))) for part in parts]
        asks = [ask for ask in asks if ask[2] > 0]

        def look(connection: sqlite3.Connection) -> list[tuple[int, list[Any], list[Any]]]:
            return [
                (
                    part,
                    connection.execute(_EXPRESS, (channel, part, after, max(1, room // 2))).fetchall(),
                    connection.execute(_ORDERED, (channel, part, after, room)).fetchall(),
                )
                for part, after, room in asks
            ]

        found: list[Delivery] = []
        for part, express, ordered in self._store.database.read_here(look):
            if (lease := self._leases.get(part)) is None:
                continue
            last = self._suspects.get(part, 0)
            ahead = self._ahead.setdefault(part, set())
            for seq, frame in express:
                if seq not in ahead:
                    ahead.add(seq)
                    found.append(self._hand_out(seq, lease, frame, last))
            for seq, frame in ordered:
                if seq not in ahead and seq not in self._out:
                    found.append(self._hand_out(seq, lease, frame, last))
            if ordered:
                self._read[part] = cursor = ordered[-1][0]
                if ahead:
                    self._ahead[part] = {seq for seq in ahead if seq > cursor}
        return found

    def _hand_out(self, seq: int, lease: Lease, frame: bytes, suspects: int) -> Delivery:
        part = lease.part
        self._out[seq] = (part, lease.epoch)
        self._count[part] += 1
        again = seq <= suspects
        return Delivery(seq, part, frame, lease, again, again and lease.crashes > 1)

    async def _keep(self) -> None:
        while True:
            await sleep(self._store.clock, self._ttl / 3)
            try:
                await self._renew()
            except (CatgaError, sqlite3.Error):
                # Not renewed is not lost yet: validity runs out by itself, and the next try may succeed.
                continue

    async def _renew(self) -> None:
        share = await self._store.claim(self._channel, self._owner, PARTS, self._ttl)
        leases = {lease.part: lease for lease in share.leases}
        for part, lease in leases.items():
            known = self._leases.get(part)
            if known is None or known.epoch != lease.epoch:
                await self._begin(lease)
        for part in set(self._leases) - set(leases):
            self._end(part)
        self._leases = leases
        cleared = [lease for lease in leases.values() if lease.crashes and self._past_suspects(lease.part)]
        if cleared:
            await self._store.clear(cleared)
        spare = sorted(leases, reverse=True)[: share.surplus]
        self._wanting = set(spare)
        idle = [leases[part] for part in spare if not self._count.get(part)]
        if idle:
            for lease in idle:
                self._end(lease.part)
                del self._leases[lease.part]
            await self._store.release(idle, self._owner)

    async def _begin(self, lease: Lease) -> None:
        part = lease.part
        self._end(part)
        self._read[part] = 0
        if lease.crashes:
            rows = await self._store.fetch(
                "select max(seq) from (select seq from catga_queue where channel = ? and part = ? order by seq limit ?)",
                (self._store.names.number(self._channel), part, WINDOW),
            )
            self._suspects[part] = rows[0][0] or 0

    def _past_suspects(self, part: int) -> bool:
        last = self._suspects.get(part, 0)
        return self._read.get(part, 0) >= last and not any(
            owner == part and token <= last for token, (owner, _) in self._out.items()
        )

    def _end(self, part: int) -> None:
        for token in [token for token, (owner, _) in self._out.items() if owner == part]:
            del self._out[token]
        self._count[part] = 0
        self._ahead.pop(part, None)
        self._suspects.pop(part, None)


_ORDERED = "select seq, frame from catga_queue indexed by catga_queue_part where channel = ? and part = ? and seq > ? order by seq limit ?"
_EXPRESS = "select seq, frame from catga_queue indexed by catga_queue_express where channel = ? and part = ? and express is not null and seq > ? order by express, seq limit ?"
