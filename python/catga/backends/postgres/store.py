"""`PostgresStore`: the store port on one schema."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from asyncpg import ReadOnlySQLTransactionError

from catga.backends.apart import Apart
from catga.backends.postgres.books import LANES, URGENT, lane_of, outbox_lane
from catga.backends.postgres.commits import Commits
from catga.backends.postgres.connection import PostgresConnection, still_ours
from catga.backends.postgres.counting import waiting
from catga.backends.postgres.database import INSIDE, Database, tuples
from catga.backends.postgres.database import Connection as Raw
from catga.backends.postgres.failures import lost, refused, statement_error
from catga.backends.postgres.fitness import check_server
from catga.backends.postgres.group import Groups
from catga.backends.postgres.guard import Guard
from catga.backends.postgres.options import PostgresOptions
from catga.backends.postgres.outbox import Outbox
from catga.backends.postgres.partitions import Partitions
from catga.backends.postgres.reading import Place
from catga.backends.postgres.rows import OURS, parsed
from catga.backends.postgres.schema import migrate
from catga.backends.postgres.sessions import publish
from catga.backends.users import Users
from catga.clock import Bell, Clock, sleep
from catga.ports.messages import Lease, Outgoing
from catga.ports.server import Server
from catga.ports.store import COMMITTED, Commit, Mark, MarkState, Outcome, Parked, Share, Unit, Waiting
from catga.sql.dialect import Dialect
from catga.sql.hold import within
from catga.sql.leases import Leases
from catga.sql.names import Names, UnknownName, names_of
from catga.sql.parked import ParkedRows
from catga.sql.procedures import Ask, Procedure
from catga.transaction import Connection, Row

if TYPE_CHECKING:
    from catga.backends.postgres.queue import PostgresTransport

T = TypeVar("T")
NAMES = 60_000_000
"""A lane's number has to fit into 31 bits."""
HOUSE = 60.0
"""Seconds between two looks at the partitions."""

log: logging.Logger = logging.getLogger("catga.postgres")


class PostgresStore:
    """Commits go one after the other over a connection of their own; questions over others. Without `server_time` leases
    run by the given clock, as they must where time is simulated."""

    tables: bool = True

    def __init__(self, options: PostgresOptions, clock: Clock, *, server_time: bool = True) -> None:
        self.options = options
        self.clock = clock
        self.store_id: str = options.identity
        self.lease: float = options.lease
        self.database: Database = Database(options)
        dialect = Dialect(
            prefix=f"{options.schema}.",
            now_ms="floor(extract(epoch from clock_timestamp()) * 1000)::bigint" if server_time else None,
            lock="select pg_advisory_xact_lock(hashtextextended(?, 0))",
            hold="for no key update",
        )
        self.names: Names = Names(dialect, NAMES)
        self.bell: Bell = Bell(clock)
        self.version: int = 0
        """Counts the commits of this process that published."""
        self._guard = Guard(options.schema)
        self._groups = Groups(self.names, options.schema, self.store_id)
        self._commits = Commits(self.database, self._groups)
        self._leases = Leases(dialect)
        self._parked = ParkedRows(dialect, self._text)
        self._partitions = Partitions(options.schema)
        self._outbox = Outbox(self.database, clock, self._text)
        self._apart = Apart()
        self._users = Users()

    async def open(self) -> None:
        """Idempotent: the app and the transport of one database share it."""
        await self._users.join(self._open)

    async def close(self) -> None:
        """After the last user's close."""
        await self._users.leave(self._close)

    def queue(self) -> "PostgresTransport":
        """From now on what units publish goes to the queue in this database, and no relay is needed."""
        from catga.backends.postgres.queue import PostgresTransport

        self._groups.colocated = True
        return PostgresTransport(self)

    async def declare(self, names: Sequence[str]) -> None:
        """See the port."""
        if unknown := self.names.unknown(names):
            await self._apart.finish(self._learn(unknown))

    async def server(self) -> Server:
        """See the port."""
        asked = "select current_setting('server_version'), floor(extract(epoch from clock_timestamp()) * 1000)::bigint"
        ((version, now),) = await self.database.fetch(asked)
        return Server(f"PostgreSQL {version}", now)

    async def rename(self, aliases: Mapping[str, str]) -> None:
        """See the port."""
        await self._tell(self.names.rename(aliases, self._is_channel))
        await self.database.ask(self.names.load())

    # -- commits ------------------------------------------------------------------------------------------------------

    async def commit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        """See the port. Where nothing but marks and messages is written, one call does all of it."""
        self.database.check()
        return await self._apart.finish(self._commit(units))

    async def exclusive(
        self, work: Callable[[Connection], Any], unit_of: Callable[[Any], Unit]
    ) -> tuple[Any, Unit, Outcome]:
        """Awaits `work` with a connection of its own in a transaction, then commits what it wrote together with the unit
        made from its result. Other commits do not wait for it, but for the rows that it has locked."""
        committing = asyncio.Event()
        return await self._apart.unless_cancelled(self._exclusive(work, unit_of, committing), committing)

    async def fetch(self, sql: str, args: tuple[Any, ...]) -> Sequence[Row]:
        """Committed rows, read on a connection that cannot write."""
        self._guard.check_question(sql)
        async with self.database.lent(writing=False) as connection:
            try:
                return tuples(await connection.fetch(sql, *args))
            except Exception as error:
                if isinstance(error, ReadOnlySQLTransactionError):
                    raise refused(sql) from error
                raise lost(connection, error, self.store_id) or statement_error(error, sql) from error

    async def write(self, batch: Sequence[Outgoing]) -> None:
        """Messages that nobody's unit publishes."""
        await self.declare([message.channel for message in batch])
        await self.commit([Unit(publish=batch)])

    async def publish_within(self, transaction: Any, batch: Sequence[Outgoing]) -> None:
        """See the port. Who waits for messages finds these at the next look: nobody tells us of that commit."""
        books = self._groups.books(())
        books.publish(batch)
        await publish(transaction, self.options.schema, books.messages)

    # -- inbox --------------------------------------------------------------------------------------------------------

    async def known(self, wanted: Mapping[tuple[int, str], Sequence[bytes]]) -> set[tuple[str, bytes]]:
        """See the port."""
        groups = [(day, self.names.number(handler), ids) for (day, handler), ids in wanted.items()]
        rows = await self.database.fetch(
            f"select mark.handler, mark.id from unnest($1::int[], $2::int[], $3::bytea[]) as wanted(day, handler, id) join {self.options.schema}.marks as mark"
            " on mark.day = wanted.day and mark.handler = wanted.handler and mark.id = wanted.id",
            [day for day, _, ids in groups for _ in ids],
            [handler for _, handler, ids in groups for _ in ids],
            [id for _, _, ids in groups for id in ids],
        )
        return {(self._text(handler), id) for handler, id in rows}

    async def mark(self, day: int, handler: str, id: bytes) -> Mark | None:
        """See the port."""
        await self.declare([handler])
        rows = await self.database.fetch(
            f"select state, reply from {self.options.schema}.marks where day = $1 and handler = $2 and id = $3",
            day,
            self.names.number(handler),
            id,
        )
        return Mark(day, handler, id, MarkState(rows[0][0]), rows[0][1]) if rows else None

    async def forget(self, before_day: int) -> None:
        """Drops the partitions of days before this one."""
        await self._apart.finish(self._forget(before_day))

    # -- leases -------------------------------------------------------------------------------------------------------

    async def claim(self, scope: str, owner: str, parts: int, ttl: float, *, anew: bool = False) -> Share:
        """See the port. Expiry is by the server's clock."""
        before = self.clock.monotonic()
        return await self._tell(self._leases.claim(scope, owner, parts, ttl, before, self.clock.wall_ms(), anew))

    async def release(self, scope: str, owner: str, leases: Sequence[Lease], leave: bool = False) -> None:
        """See the port."""
        await self._outbox.save()
        await self._tell(self._leases.release(scope, owner, leases, leave))

    async def clear(self, leases: Sequence[Lease]) -> None:
        """See the port."""
        await self._tell(self._leases.clear(leases))

    async def alone(self, lease: Lease, token: int | bytes) -> int:
        """See the port."""
        return await self._tell(self._leases.alone(lease, token))

    async def positions(self, scope: str, parts: Sequence[int]) -> Mapping[int, str]:
        """See the port."""
        return await self.database.ask(self._leases.positions(scope, parts))

    async def advance(self, owner: str, positions: Sequence[tuple[Lease, str]]) -> None:
        """See the port; lost with the server, it is only looked up again."""
        await self._apart.finish(self.database.tell(self._leases.advance(owner, positions), relaxed=True))

    # -- outbox -------------------------------------------------------------------------------------------------------

    async def outbox(self, leases: Sequence[Lease], most: int) -> Sequence[Outgoing]:
        """In the order in which they became visible."""
        self.database.check()
        return await self._outbox.read(leases, most)

    async def sent(self, leases: Sequence[Lease], rows: Sequence[Outgoing]) -> Collection[int]:
        """See the port. Nothing is removed: rows end with their partition."""
        return await self._apart.finish(self._outbox.sent(leases, rows))

    # -- parked -------------------------------------------------------------------------------------------------------

    async def due(self, channel: str, parts: Sequence[int], now_ms: int, most: int) -> Sequence[Parked]:
        """See the port."""
        self.database.check()
        if self.names.unknown([channel]):
            return []
        return await self.database.ask(self._parked.due(self.names.number(channel), parts, now_ms, most))

    async def followers(self, channel: str, part: int, handler: str, key: bytes, most: int) -> Sequence[Parked]:
        """See the port."""
        self.database.check()
        if self.names.unknown([channel, handler]):
            return []
        number = self.names.number
        return await self.database.ask(self._parked.followers(number(channel), part, number(handler), key, most))

    async def waiting(self, channel: str, parts: Sequence[int]) -> Sequence[Waiting]:
        """See the port."""
        self.database.check()
        if self.names.unknown([channel]):
            return []
        return await self.database.ask(self._parked.waiting(self.names.number(channel), parts))

    async def dead(self, most: int, handler: str | None = None) -> Sequence[Parked]:
        """See the port."""
        self.database.check()
        if handler is not None and self.names.unknown([handler]):
            return []
        return await self.database.ask(self._parked.dead(most, None if handler is None else self.names.number(handler)))

    async def next_due(self) -> int | None:
        """See the port."""
        return await self.database.ask(self._parked.next_due())

    async def pending(self) -> int:
        """See the port; at most 1,000 of each lane. What another process has handled counts until it says so: a second."""
        parked = await self.database.ask(self._parked.pending())
        places = await self._places()
        # Of the outbox, what was read here and not sent counts as well as what was not read.
        places |= {outbox_lane(part): place for part, place in self._outbox.reached().items()}
        async with self.database.lent(writing=False) as connection:
            queued = await waiting(connection, f"{self.options.schema}.messages", places)
        return parked + queued + self._outbox.unsent()

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        await self.database.open()
        self._outbox = Outbox(self.database, self.clock, self._text)
        try:
            async with self.database.lent(writing=True) as connection:
                await check_server(connection, self.options)
                await migrate(connection, self.options.schema, self.store_id)
            await self._keep_house()
            await self.database.ask(self.names.load())
        except Exception as error:
            await self.database.close()
            raise self.database.error(error) from error
        self._house = asyncio.create_task(self._keep_keeping(), name="catga-postgres-partitions")

    async def _close(self) -> None:
        if not hasattr(self, "_house"):
            return
        self._house.cancel()
        await asyncio.wait([self._house])
        await self._apart.all_ended()
        await self.database.close()

    def _text(self, number: int) -> str:
        return self.names.texts[number]

    async def _tell(self, procedure: Procedure[T]) -> T:
        self.database.check()
        return await self._apart.finish(self.database.tell(procedure))

    async def _learn(self, names: Collection[str]) -> None:
        await self.database.tell(self.names.learn(names))
        await self.database.ask(self.names.load())

    async def _commit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        try:
            outcomes = await self._commits.commit(units)
        except UnknownName:
            await self._learn(self.names.unknown(names_of(units)))
            outcomes = await self._commits.commit(units)
        if any(unit.publish for unit in units):
            self.published()
        return outcomes

    def published(self) -> None:
        """Something may be in the queue now."""
        self.version += 1
        self.bell.ring()

    async def _exclusive(
        self, work: Callable[[Connection], Any], unit_of: Callable[[Any], Unit], committing: asyncio.Event
    ) -> tuple[Any, Unit, Outcome]:
        async with self.database.lent(writing=True) as raw:
            transaction = raw.transaction()
            try:
                await transaction.start()
                lent = PostgresConnection(raw, self._guard)
                result = await within(work(lent), self.clock, self.options.hold, self.store_id)
                still_ours(raw)
                committing.set()
                unit = unit_of(result)
                await self.declare([*names_of([unit])])
                (outcome,) = await self._groups.each(raw, [unit])
            except BaseException:
                await _undo(raw, transaction)
                raise
            if outcome is not COMMITTED:
                await transaction.rollback()
                return result, unit, outcome
            if (refused := await self._commits.end(raw, transaction)) is not None:
                return result, unit, Outcome(Commit.FAILED, refused)
        if unit.publish:
            self.published()
        return result, unit, outcome

    async def _forget(self, before_day: int) -> None:
        try:
            async with self.database.lent(writing=True) as connection, connection.transaction():
                await connection.execute(INSIDE)
                await self._partitions.forget(connection, before_day)
        except Exception as error:
            raise self.database.error(error) from error

    async def _places(self) -> dict[int, Place]:
        """How far each lane has been worked."""
        places = {outbox_lane(part): place for part, place in (await self._outbox.places()).items()}
        rows = await self.database.fetch(f"select scope, part, position from {self.options.schema}.positions")
        for scope, part, position in rows:
            if position.startswith(OURS) and (number := self.names.numbers.get(scope)) is not None:
                ordered, urgent = parsed(position)
                places |= {lane_of(number, part): ordered, lane_of(number, part + URGENT): urgent}
        return places

    def _is_channel(self, number: int, name: str) -> Procedure[bool]:
        schema = self.options.schema
        ((found,),) = yield Ask(
            f"select exists(select 1 from {schema}.messages where lane between ? and ?) or exists(select 1 from {schema}.messages where lane < 0 and channel = ?)"
            f" or exists(select 1 from {schema}.parked where channel = ?) or exists(select 1 from {schema}.leases where scope = ?)",
            (lane_of(number, 0), lane_of(number, LANES - 1), number, number, name),
        )
        return bool(found)

    async def _keep_keeping(self) -> None:
        while True:
            await sleep(self.clock, HOUSE)
            try:
                await self._keep_house()
            except Exception as error:
                log.warning("partitions of %s were not looked after: %s", self.store_id, error)

    async def _keep_house(self) -> None:
        async with self.database.lent(writing=True) as connection:
            await self._partitions.make(connection)
            # Names first: positions of channels that this process does not know yet count as well.
            await self.database.ask(self.names.load())
            await self._partitions.drop_ended(connection, await self._places())


async def _undo(raw: Raw, transaction: Any) -> None:
    if raw.is_closed():
        return
    try:
        await transaction.rollback()
    except Exception:
        # In a state that cannot be told, as where its start was cancelled: the pool makes another one.
        raw.terminate()
