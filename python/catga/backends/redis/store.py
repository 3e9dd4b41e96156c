"""`RedisStore`: the store port on the keys of one prefix."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from catga.backends.apart import Apart
from catga.backends.redis import scripts
from catga.backends.redis.bundles import mark_of
from catga.backends.redis.commits import Commits
from catga.backends.redis.failures import store_error
from catga.backends.redis.fitness import check_server, server
from catga.backends.redis.link import Link
from catga.backends.redis.looking import Looking
from catga.backends.redis.options import RedisOptions
from catga.backends.redis.outbox import Outbox
from catga.backends.users import Users
from catga.clock import Bell, Clock
from catga.errors import ForbiddenStatement
from catga.ports.messages import Lease, Outgoing
from catga.ports.server import Server
from catga.ports.store import Mark, Outcome, Parked, Share, Unit, Waiting
from catga.transaction import Connection, Row

if TYPE_CHECKING:
    from catga.backends.redis.queue import RedisTransport

T = TypeVar("T")


class RedisStore:
    """Everything is asked by scripts, over one connection. Without `server_time` leases run by the given clock, as they must
    where time is simulated."""

    tables: bool = False

    def __init__(self, options: RedisOptions, clock: Clock, *, server_time: bool = True) -> None:
        self.options = options
        self.clock = clock
        self.store_id: str = options.identity
        self.lease: float = options.lease
        self.link: Link = Link(options)
        self.bell: Bell = Bell(clock)
        self.version: int = 0
        """Counts the commits of this process that published."""
        self._server_time = server_time
        self._commits = Commits(self.link)
        self._outbox = Outbox(self.link)
        self._looking = Looking(self.link)
        self._apart = Apart()
        self._users = Users()

    async def open(self) -> None:
        """Idempotent: the app and the transport on one prefix share it."""
        await self._users.join(self._open)

    async def close(self) -> None:
        """After the last user's close."""
        await self._users.leave(self._close)

    def queue(self) -> "RedisTransport":
        """From now on what units publish goes to the streams beside it, and no relay is needed."""
        from catga.backends.redis.queue import RedisTransport

        self._commits.colocated = True
        return RedisTransport(self)

    async def server(self) -> Server:
        """See the port."""
        try:
            return await server(self.link)
        except Exception as error:
            raise store_error(error, self.options.where) from error

    async def declare(self, names: Sequence[str]) -> None:
        """Nothing to do: names are not made smaller here."""

    async def rename(self, aliases: Mapping[str, str]) -> None:
        """See the port."""
        await self.run(scripts.RENAME, *(name for pair in aliases.items() for name in pair))

    async def commit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        """See the port. One script for all of them."""
        self.link.check()
        outcomes = await self._apart.finish(self._commits.commit(units))
        if any(unit.publish for unit in units):
            self.published()
        return outcomes

    async def write(self, batch: Sequence[Outgoing]) -> None:
        """Messages that nobody's unit publishes go to the queue, whatever units do."""
        self.link.check()
        await self._apart.finish(self._commits.write(batch))
        self.published()

    def published(self) -> None:
        """Something may be in the queue now."""
        self.version += 1
        self.bell.ring()

    async def exclusive(
        self, work: Callable[[Connection], Awaitable[T]], unit_of: Callable[[T], Unit]
    ) -> tuple[T, Unit, Outcome]:
        """Refused: there are no transactions to hold."""
        raise ForbiddenStatement(
            "redis:// has no connection to give",
            where=self.store_id,
            why="it keeps no tables",
            fix="use sqlite:/// or postgresql:// where handlers ask for a Connection",
        )

    async def fetch(self, sql: str, args: tuple[Any, ...]) -> Sequence[Row]:
        """Refused: there are no tables."""
        raise ForbiddenStatement(
            "redis:// keeps no tables", where=sql, fix="use sqlite:/// or postgresql:// where handlers read and write"
        )

    async def run(self, script: scripts.Script, *arguments: Any) -> Any:
        """One script to its end, whether or not its caller is cancelled."""
        self.link.check()
        try:
            return await self._apart.finish(script(self.link, *arguments))
        except Exception as error:
            raise store_error(error, self.options.where) from error

    # -- inbox --------------------------------------------------------------------------------------------------------

    async def known(self, wanted: Mapping[tuple[int, str], Sequence[bytes]]) -> set[tuple[str, bytes]]:
        """See the port."""
        asked = [(self._marks(day, handler), handler, ids) for (day, handler), ids in wanted.items() if ids]
        answers = await asyncio.gather(*(self._ask("HMGET", key, *ids) for key, _, ids in asked))
        return {
            (handler, id)
            for (_, handler, ids), values in zip(asked, answers, strict=True)
            for id, value in zip(ids, values, strict=True)
            if value is not None
        }

    async def mark(self, day: int, handler: str, id: bytes) -> Mark | None:
        """See the port."""
        value = await self._ask("HGET", self._marks(day, handler), id)
        return None if value is None else mark_of(day, handler, id, value)

    async def forget(self, before_day: int) -> None:
        """See the port."""
        await self.run(scripts.FORGET, before_day)

    # -- leases -------------------------------------------------------------------------------------------------------

    async def claim(self, scope: str, owner: str, parts: int, ttl: float, *, anew: bool = False) -> Share:
        """See the port. Expiry is by the server's clock."""
        until = self.clock.monotonic() + ttl
        now = -1 if self._server_time else self.clock.wall_ms()
        surplus, *held = await self.run(scripts.CLAIM, scope, owner, parts, int(ttl * 1000), now, int(anew))
        rows = list(zip(held[::4], held[1::4], held[2::4], held[3::4], strict=True))
        leases = [Lease(scope, part, epoch, until, crashes) for part, epoch, crashes, _ in rows]
        return Share(leases, surplus, {part: before for part, _, _, before in rows if before})

    async def release(self, scope: str, owner: str, leases: Sequence[Lease], leave: bool = False) -> None:
        """See the port."""
        flat = [number for lease in leases for number in (lease.part, lease.epoch)]
        await self.run(scripts.LEASES, "release", scope, owner, flat, leave)

    async def clear(self, leases: Sequence[Lease]) -> None:
        """See the port."""
        flat = [word for lease in leases for word in (lease.scope, lease.part, lease.epoch)]
        await self.run(scripts.LEASES, "clear", flat)

    async def alone(self, lease: Lease, token: int | bytes) -> int:
        """See the port."""
        return int(await self.run(scripts.LEASES, "alone", lease.scope, lease.part, lease.epoch, str(token)))

    async def positions(self, scope: str, parts: Sequence[int]) -> Mapping[int, str]:
        """See the port."""
        self.link.check()
        if not parts:
            return {}
        values = await self._ask("HMGET", self._key("positions:", scope), *parts)
        return {part: value.decode() for part, value in zip(parts, values, strict=True) if value is not None}

    async def advance(self, owner: str, positions: Sequence[tuple[Lease, str]]) -> None:
        """See the port."""
        flat = [word for lease, position in positions for word in (lease.scope, lease.part, lease.epoch, position)]
        await self.run(scripts.LEASES, "advance", owner, flat)

    # -- outbox -------------------------------------------------------------------------------------------------------

    async def outbox(self, leases: Sequence[Lease], most: int) -> Sequence[Outgoing]:
        """See the port."""
        return await self._outbox.read(leases, most)

    async def sent(self, leases: Sequence[Lease], rows: Sequence[Outgoing]) -> Collection[int]:
        """See the port."""
        self.link.check()
        return await self._apart.finish(self._outbox.sent(leases, rows))

    # -- parked -------------------------------------------------------------------------------------------------------

    async def due(self, channel: str, parts: Sequence[int], now_ms: int, most: int) -> Sequence[Parked]:
        """See the port."""
        return await self._looking.due(channel, parts, now_ms, most)

    async def followers(self, channel: str, part: int, handler: str, key: bytes, most: int) -> Sequence[Parked]:
        """See the port."""
        return await self._looking.followers(channel, part, handler, key, most)

    async def waiting(self, channel: str, parts: Sequence[int]) -> Sequence[Waiting]:
        """See the port."""
        return await self._looking.waiting(channel, parts)

    async def dead(self, most: int, handler: str | None = None) -> Sequence[Parked]:
        """See the port."""
        return await self._looking.dead(most, handler)

    async def next_due(self) -> int | None:
        """See the port."""
        return await self._looking.next_due()

    async def pending(self) -> int:
        """See the port; of each line of the queue its next entries only. What another process has handled counts until it says
        so: a second."""
        return int(await self.run(scripts.PENDING, self._commits.colocated))

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        try:
            await self.link.open()
            await check_server(self.link)
        except BaseException as error:
            await self.link.close()
            if isinstance(error, Exception):
                raise store_error(error, self.options.where) from error
            raise

    async def _close(self) -> None:
        await self._apart.all_ended()
        await self.link.close()

    async def _ask(self, *words: Any) -> Any:
        try:
            return await self.link.ask(*words)
        except Exception as error:
            raise store_error(error, self.options.where) from error

    def _marks(self, day: int, handler: str) -> str:
        return self._key("marks:", f"{day}:{handler}")

    def _key(self, kind: str, name: str) -> str:
        return f"{{{self.options.prefix}}}:{kind}{name}"
