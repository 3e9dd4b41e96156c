"""`Delivery`: the durable half of a running app."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from catga.context import Later
from catga.delivery.channel import Channel
from catga.delivery.claims import Claims
from catga.delivery.committer import Committer
from catga.delivery.direct import Direct
from catga.delivery.failures import UNREADABLE, Failures
from catga.delivery.means import Means
from catga.delivery.recorder import Recorder
from catga.delivery.relay import Relay
from catga.delivery.run import SCHEDULED, Outbox, Runner, scheduled
from catga.delivery.work import Target
from catga.envelope import DAY_MS, NAMED, Codec, Headers
from catga.errors import CommitRefused, InvalidArgument
from catga.messages import Message
from catga.ports.blobs import Blobs
from catga.ports.store import Commit, Joining, Store, Unit
from catga.ports.transport import Transport
from catga.transaction import Row


class Receipt(msgspec.Struct, frozen=True):
    """That a message was accepted: `id` is 32 hexadecimal digits; `durable` says that a commit holds it."""

    id: str
    durable: bool


class Delivery:
    """Owns the committer, the channels and the verbs that wait for a commit."""

    def __init__(
        self,
        app: Any,
        codec: Codec,
        store: Store,
        transport: Transport,
        blobs: Blobs | None,
        *,
        concurrency: int,
        window_days: int,
    ) -> None:
        self._app = app
        self._codec = codec
        self._store = store
        self._transport = transport
        self._joining = store if isinstance(store, Joining) else None
        self._colocated = transport.capabilities.store_id == store.store_id
        self._concurrency = concurrency
        self._window_days = window_days
        self._channels: list[Channel] = []
        self._relay: Relay | None = None
        self.recorder: Recorder = Recorder()
        self.committer: Committer = Committer(store, self._committed)
        self._blobs = blobs
        self._claims = None if blobs is None else Claims(codec, blobs, app.wire.keep_days)
        self.outbox: Outbox = Outbox(app, codec, self._claims)
        self.direct: Direct = Direct(app, codec, store, self.committer, self.outbox)

    async def start(self, targets: Mapping[str, Mapping[type[Message], Sequence[Target]]], work: bool) -> None:
        """Begins to compete for the parts of every channel that has a handler here; without `work`, only accepts."""
        # Before the new names are declared: a name that is taken cannot be given to an old one's number.
        aliases = {
            old: target.id
            for by_type in targets.values()
            for group in by_type.values()
            for target in group
            for old in target.handler.aliases
        }
        if aliases:
            await self._store.rename(aliases)
        await self._store.declare(
            [
                *targets,
                *self._codec.channels(),
                *(t.id for by_type in targets.values() for group in by_type.values() for t in group),
                SCHEDULED,
                UNREADABLE,
            ]
        )
        await self._store.forget(self._app.clock.wall_ms() // DAY_MS - self._window_days)
        if self._blobs is not None:
            await self._blobs.expire(self._app.clock.wall_ms())
        owner = self._app.ids.next(self._app.clock.wall_ms()).hex()
        if not self._colocated and work:
            self._relay = Relay(self._store, self._transport, self._app.clock, owner)
            await self._relay.start()
        runner = Runner(self._app, self.outbox, self._store.fetch)
        for name, by_type in targets.items() if work else ():
            means = Means(
                channel=name,
                clock=self._app.clock,
                codec=self._codec,
                store=self._store,
                committer=self.committer,
                runner=runner,
                failures=Failures(name, self._app.clock, self._app.entropy),
                recorder=self.recorder,
                consumer=await self._transport.consume(name, owner, self._store),
                colocated=self._colocated,
                window_days=self._window_days,
                claims=self._claims,
            )
            channel = Channel(means, by_type, self._concurrency)
            self._channels.append(channel)
            await channel.start()

    async def stop(self, deadline: float) -> None:
        """Stop taking, finish or give back, flush; by `deadline` (monotonic seconds)."""
        await asyncio.gather(*(channel.stop(deadline) for channel in self._channels))
        self._channels.clear()
        await self.committer.close()
        if self._relay is not None:
            await self._relay.stop()

    async def accept(
        self,
        messages: Sequence[Message],
        id: bytes | None = None,
        headers: Headers | None = None,
        within: Any = None,
    ) -> list[Receipt]:
        """Commits messages for their handlers, or leaves that to the transaction that they are written `within`; a receipt for
        each once that is done."""
        now = self._app.clock.wall_ms()
        ext, deadline = (None, 0) if headers is None else (headers.ext(), headers.deadline_ms(now))
        ids = [id] if id is not None else self._app.ids.many(len(messages), now)
        encode = self._codec.encode
        flags = 0 if id is None else NAMED
        rows = [
            encode(message, each, now, 0, deadline, ext, flags) for message, each in zip(messages, ids, strict=True)
        ]
        if self._codec.unkept:
            await self.outbox.keep()
        if within is None:
            await self._commit(Unit(publish=rows))
        elif self._joining is not None:
            await self._joining.publish_within(within, rows)
        else:
            raise InvalidArgument(
                "within= is not for this store",
                where=self._store.store_id,
                why="only PostgreSQL's outbox joins transactions that are not Catga's",
                fix="publish from a handler, which commits what it writes and what it publishes together",
            )
        return [Receipt(each.hex(), within is None) for each in ids]

    async def schedule(self, later: Later) -> None:
        """Commits a message that waits for its time."""
        row = self._codec.encode(
            later.message, later.id, self._app.clock.wall_ms(), later.due_ms, later.deadline_ms, later.ext
        )
        if self._codec.unkept:
            await self.outbox.keep()
        await self._commit(Unit(park=[scheduled(row)]))

    async def cancel(self, id: bytes) -> bool:
        """Whether a scheduled message was still waiting, and now never leaves."""
        (outcome,) = await self.committer.submit([Unit(unpark=[(SCHEDULED, id)])])
        return outcome.commit is Commit.COMMITTED

    async def fetch(self, sql: str, args: tuple[Any, ...]) -> Sequence[Row]:
        """Committed rows."""
        return await self._store.fetch(sql, args)

    async def pending(self) -> int:
        """Messages of the store that are neither handled, dead nor scheduled for later, or whose end this instance has not
        counted yet."""
        return await self._store.pending() or sum(channel.open for channel in self._channels)

    def statistics(self) -> dict[str, Any]:
        """Counts, and what is open per channel."""
        return {
            **self.recorder.statistics(),
            "channels": {channel.name: channel.statistics() for channel in self._channels},
        }

    async def _commit(self, unit: Unit) -> None:
        (outcome,) = await self.committer.submit([unit])
        if outcome.error is not None:
            raise outcome.error
        if outcome.commit is not Commit.COMMITTED:
            raise CommitRefused("the commit was refused", why=outcome.commit.value)

    def _committed(self, units: Sequence[Unit]) -> None:
        """Who waits for what a commit may have brought is woken."""
        if self._relay is not None and any(unit.publish for unit in units):
            self._relay.nudge()
        if any(unit.park for unit in units):
            for channel in self._channels:
                channel.nudge()
