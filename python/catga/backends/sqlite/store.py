"""`SqliteStore`: the store port on one file."""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from catga.backends.apart import Apart
from catga.backends.sqlite.bookkeeping import find_marks
from catga.backends.sqlite.database import Database, to_its_end
from catga.backends.sqlite.exclusive import still_ours
from catga.backends.sqlite.failures import question_error, statement_error, store_error
from catga.backends.sqlite.lists import delete_rows
from catga.backends.sqlite.names import MARKS_OF, is_channel
from catga.backends.sqlite.options import SqliteOptions
from catga.backends.sqlite.places import NAMES
from catga.backends.sqlite.writes import GroupLost, Unclear, Writes
from catga.backends.users import Users
from catga.clock import Bell, Clock
from catga.errors import ForbiddenStatement, OutcomeUnknown, StoreError
from catga.ports.messages import Lease, Outgoing
from catga.ports.store import COMMITTED, Commit, Mark, MarkState, Outcome, Parked, Share, Unit, Waiting
from catga.sql.dialect import Dialect
from catga.sql.hold import within
from catga.sql.leases import Leases
from catga.sql.names import Names, UnknownName, names_of
from catga.sql.parked import ParkedRows
from catga.sql.procedures import Ask, Procedure, Rows, run
from catga.transaction import Connection, Row

if TYPE_CHECKING:
    from catga.backends.sqlite.queue import SqliteTransport

T = TypeVar("T")

DIALECT = Dialect(prefix="catga_")


class SqliteStore:
    """One writer at a time over all processes, in the order of asking; readers never wait for it."""

    tables: bool = True

    def __init__(self, options: SqliteOptions, clock: Clock) -> None:
        self.options = options
        self.clock = clock
        self.store_id: str = f"sqlite:{options.absolute}"
        self.lease: float = options.lease
        self.database: Database = Database(options)
        self.names: Names = Names(DIALECT, NAMES)
        self.bell: Bell = Bell(clock)
        self._writes = Writes(self.database, self.names)
        self._leases = Leases(DIALECT)
        self._parked = ParkedRows(DIALECT, self._text)
        self._turn = asyncio.Lock()
        self._apart = Apart()
        self._users = Users()

    async def open(self) -> None:
        """Idempotent: the app and the transport of one file share it."""
        await self._users.join(self._open)

    async def close(self) -> None:
        """After the last user's close."""
        await self._users.leave(self._close)

    def queue(self) -> "SqliteTransport":
        """From now on what units publish goes to the queue in this file, and no relay is needed."""
        from catga.backends.sqlite.queue import SqliteTransport

        self._writes.colocated = True
        return SqliteTransport(self)

    async def declare(self, names: Sequence[str]) -> None:
        """Gives numbers to channels and handlers before they are used."""
        if unknown := self.names.unknown(names):
            await self._tell(self.names.learn(unknown))
            self._ask(self.names.load())

    async def rename(self, aliases: Mapping[str, str]) -> None:
        """See the port."""
        await self._tell(self.names.rename(aliases, is_channel, MARKS_OF))
        self._ask(self.names.load())

    async def commit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        """See the port. A statement that fails undoes its unit alone; SQL that ends the shared transaction, or a
        constraint deferred to its end, makes each unit run in one of its own, so that no neighbour is blamed."""
        return await self._apart.finish(self._commit(units))

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs writing work of our own in a transaction of its own."""
        return await self._apart.finish(self._write(work))

    async def exclusive(
        self, work: Callable[[Connection], Any], unit_of: Callable[[Any], Unit]
    ) -> tuple[Any, Unit, Outcome]:
        """Awaits `work` with the driver's own connection while holding the write lock, then commits what it wrote
        together with the unit made from its result."""
        committing = asyncio.Event()
        return await self._apart.unless_cancelled(self._exclusive(work, unit_of, committing), committing)

    async def fetch(self, sql: str, args: tuple[Any, ...]) -> Sequence[Row]:
        """Committed rows, read on a connection that cannot write."""
        path = self.database.path

        def ask(connection: sqlite3.Connection) -> Sequence[Row]:
            try:
                return connection.execute(sql, args).fetchall()
            except Exception as error:
                raise question_error(error, sql, path) from error

        return await self.database.read(ask)

    # -- inbox --------------------------------------------------------------------------------------------------------

    async def known(self, wanted: Mapping[tuple[int, str], Sequence[bytes]]) -> set[tuple[str, bytes]]:
        """See the port."""
        groups = {(day, self.names.number(handler)): ids for (day, handler), ids in wanted.items()}
        found = self.database.read_here(lambda connection: find_marks(connection, groups))
        return {(self._text(handler), id) for _, handler, id in found}

    async def mark(self, day: int, handler: str, id: bytes) -> Mark | None:
        """See the port."""
        await self.declare([handler])
        rows = await self.fetch(
            "select state, reply from catga_marks where day = ? and handler = ? and id = ?",
            (day, self.names.number(handler), id),
        )
        return Mark(day, handler, id, MarkState(rows[0][0]), rows[0][1]) if rows else None

    async def forget(self, before_day: int) -> None:
        """Drops the marks of days before this one."""
        await self.write(lambda connection: connection.execute("delete from catga_marks where day < ?", (before_day,)))

    # -- leases -------------------------------------------------------------------------------------------------------

    async def claim(self, scope: str, owner: str, parts: int, ttl: float, *, anew: bool = False) -> Share:
        """See the port."""
        before = self.clock.monotonic()

        def claim(connection: sqlite3.Connection) -> Share:
            # The time is read when the lock is held: waiting for it may take longer than a lease.
            now = self.clock.wall_ms()
            return run(self._leases.claim(scope, owner, parts, ttl, before, now, anew), _asking(connection))

        return await self.write(claim)

    async def release(self, scope: str, owner: str, leases: Sequence[Lease], leave: bool = False) -> None:
        """See the port; `leave` ends this owner's membership, so that the others' shares grow at once."""
        await self._tell(self._leases.release(scope, owner, leases, leave))

    async def clear(self, leases: Sequence[Lease]) -> None:
        """See the port."""
        await self._tell(self._leases.clear(leases))

    async def alone(self, lease: Lease, token: int | bytes) -> int:
        """See the port."""
        return await self._tell(self._leases.alone(lease, token))

    async def positions(self, scope: str, parts: Sequence[int]) -> Mapping[int, str]:
        """See the port."""
        return self._ask(self._leases.positions(scope, parts))

    async def advance(self, owner: str, positions: Sequence[tuple[Lease, str]]) -> None:
        """See the port."""
        await self._tell(self._leases.advance(owner, positions))

    # -- outbox -------------------------------------------------------------------------------------------------------

    async def outbox(self, leases: Sequence[Lease], most: int) -> Sequence[Outgoing]:
        """In the order of their commits: SQLite has one writer, and numbers are given inside its transaction."""

        def read(connection: sqlite3.Connection) -> list[Outgoing]:
            found: list[Outgoing] = []
            for lease in leases:
                if len(found) < most:
                    found += [Outgoing(*row) for row in connection.execute(_UNSENT, (lease.part, most - len(found)))]
            return found

        return await self.database.read(read)

    async def sent(self, leases: Sequence[Lease], rows: Sequence[Outgoing]) -> Collection[int]:
        """See the port."""

        def drop(connection: sqlite3.Connection) -> set[int]:
            lost: set[int] = set()
            for lease in leases:
                if run(self._leases.holds(lease), _asking(connection)):
                    ids = [row.id for row in rows if row.part == lease.part]
                    delete_rows(connection, f"delete from catga_outbox where part = {lease.part:d} and id in", ids)
                else:
                    lost.add(lease.part)
            return lost

        return await self.write(drop)

    # -- parked -------------------------------------------------------------------------------------------------------

    async def due(self, channel: str, parts: Sequence[int], now_ms: int, most: int) -> Sequence[Parked]:
        """See the port."""
        self.database.check()
        if self.names.unknown([channel]):
            return []
        return self._ask(self._parked.due(self.names.number(channel), parts, now_ms, most))

    async def followers(self, channel: str, part: int, handler: str, key: bytes, most: int) -> Sequence[Parked]:
        """See the port."""
        self.database.check()
        if self.names.unknown([channel, handler]):
            return []
        number = self.names.number
        return self._ask(self._parked.followers(number(channel), part, number(handler), key, most))

    async def waiting(self, channel: str, parts: Sequence[int]) -> Sequence[Waiting]:
        """See the port."""
        self.database.check()
        if self.names.unknown([channel]):
            return []
        return self._ask(self._parked.waiting(self.names.number(channel), parts))

    async def dead(self, most: int, handler: str | None = None) -> Sequence[Parked]:
        """See the port."""
        self.database.check()
        if handler is not None and self.names.unknown([handler]):
            return []
        number = None if handler is None else self.names.number(handler)
        return await self.database.read(lambda connection: run(self._parked.dead(most, number), _asking(connection)))

    async def next_due(self) -> int | None:
        """See the port."""
        return self._ask(self._parked.next_due())

    async def pending(self) -> int:
        """See the port; at most 3,000."""

        def pending(connection: sqlite3.Connection) -> int:
            ((queued,),) = connection.execute(
                "select (select count(*) from (select 1 from catga_queue limit 1000)) + (select count(*) from (select 1 from catga_outbox limit 1000))"
            )
            return int(queued) + run(self._parked.pending(), _asking(connection))

        return await self.database.read(pending)

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        # In a thread: who holds the gate may be another store of this very loop.
        await to_its_end(asyncio.ensure_future(asyncio.to_thread(self.database.open)))
        self._turn = asyncio.Lock()
        try:
            self._ask(self.names.load())
        except StoreError:
            self.database.close()
            raise

    async def _close(self) -> None:
        if self.database.leave_to_parent():
            return
        await self._apart.all_ended()
        await asyncio.to_thread(self.database.close)

    def _text(self, number: int) -> str:
        """The name of a number; another process may have given it since this one looked."""
        if number not in self.names.texts:
            self._ask(self.names.load())
        return self.names.texts[number]

    def _ask(self, procedure: Procedure[T]) -> T:
        return self.database.read_here(lambda connection: run(procedure, _asking(connection)))

    async def _tell(self, procedure: Procedure[T]) -> T:
        return await self.write(lambda connection: run(procedure, _asking(connection)))

    async def _commit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        async with self._turn:
            try:
                outcomes = await self._group(units)
            except UnknownName:
                await self._learn(units)
                outcomes = await self._group(units)
        if any(unit.publish for unit in units):
            self.bell.ring()
        return outcomes

    async def _group(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        try:
            return await self._transaction(units)
        except (GroupLost, sqlite3.IntegrityError):
            await self._learn(units)
        outcomes: list[Outcome] = []
        for unit in units:
            try:
                outcomes.append(await self._singly(unit))
            except StoreError as error:
                if COMMITTED not in outcomes:
                    raise
                why = f"some of the group were committed one by one, and then: {error}"
                raise OutcomeUnknown(
                    "the commit was made in part",
                    where=self.database.path,
                    why=why,
                    fix="it is asked again through the marks",
                ) from error
        return outcomes

    async def _transaction(self, units: Sequence[Unit]) -> list[Outcome]:
        await self.database.begin()
        try:
            try:
                outcomes = self._writes.apply_hopefully(units)
            except Unclear:
                self.database.undo()
                outcomes = self._writes.apply(units)
        except sqlite3.Error as error:
            self.database.rollback()
            raise store_error(error, self.database.path) or error from error
        except BaseException:
            self.database.rollback()
            raise
        try:
            await self.database.commit()
        except sqlite3.IntegrityError:
            self.database.rollback()
            raise
        return outcomes

    async def _singly(self, unit: Unit) -> Outcome:
        try:
            (outcome,) = await self._transaction([unit])
        except GroupLost:
            why = "it ended the transaction it shares with others (OR ROLLBACK, RAISE(ROLLBACK) or the like)"
            return Outcome(
                Commit.FAILED,
                ForbiddenStatement(
                    "a statement of the handler ended the commit", why=why, fix="use OR ABORT, or RAISE(ABORT)"
                ),
            )
        except sqlite3.IntegrityError as error:
            return Outcome(
                Commit.FAILED, statement_error(error, "; ".join(statement.sql for statement in unit.statements))
            )
        return outcome

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        async with self._turn:
            await self.database.begin()
            try:
                result = work(self.database.writer)
            except sqlite3.Error as error:
                self.database.rollback()
                raise store_error(error, self.database.path) or error from error
            except BaseException:
                self.database.rollback()
                raise
            await self.database.commit()
            return result

    async def _exclusive(
        self, work: Callable[[Connection], Any], unit_of: Callable[[Any], Unit], committing: asyncio.Event
    ) -> tuple[Any, Unit, Outcome]:
        async with self._turn:
            await self.database.begin()
            try:
                self.database.guarded = True
                try:
                    result = await within(
                        work(Connection(self.database.writer)), self.clock, self.options.hold, self.database.path
                    )
                finally:
                    self.database.guarded = False
                    still_ours(self.database.writer)
                committing.set()
                unit = unit_of(result)
                if unknown := self.names.unknown(names_of([unit])):
                    asking = _asking(self.database.writer)
                    run(self.names.learn(unknown), asking)
                    run(self.names.load(), asking)
                (outcome,) = self._writes.apply([unit])
                if outcome is not COMMITTED:
                    self.database.rollback()
                    return result, unit, outcome
            except BaseException:
                self.database.rollback()
                raise
            try:
                await self.database.commit()
            except sqlite3.IntegrityError as error:
                self.database.rollback()
                return result, unit, Outcome(Commit.FAILED, statement_error(error, "commit"))
        if unit.publish:
            self.bell.ring()
        return result, unit, outcome

    async def _learn(self, units: Sequence[Unit]) -> None:
        if not (unknown := self.names.unknown(names_of(units))):
            return
        await self.database.begin()
        try:
            run(self.names.learn(unknown), _asking(self.database.writer))
        except BaseException:
            self.database.rollback()
            raise
        await self.database.commit()
        self._ask(self.names.load())


_UNSENT = "select id, channel, part, key, priority, due_ms, frame from catga_outbox where part = ? order by seq limit ?"


def _asking(connection: sqlite3.Connection) -> Callable[[Ask], Rows]:
    return lambda ask: connection.execute(ask.sql, ask.args).fetchall()
