"""Commits over the writing connection: one call, or one transaction; told apart when the line is lost."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from catga.backends.postgres.books import booking
from catga.backends.postgres.database import Connection, Database
from catga.backends.postgres.failures import DUPLICATE, LOST, STALE, code_of, statement_error, store_error
from catga.backends.postgres.group import Groups
from catga.errors import CatgaError, OutcomeUnknown, StoreError
from catga.ports.store import COMMITTED, Commit, Outcome, Unit


class Commits:
    """One after the other."""

    def __init__(self, database: Database, groups: Groups) -> None:
        self._database = database
        self._groups = groups

    async def commit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        """See the store's port."""
        if not units:
            return []
        try:
            async with self._database.writer.use() as connection:
                return await self._group(connection, units)
        except Exception as error:
            raise store_error(error, self._database.where) or error from error

    async def end(self, connection: Connection, transaction: Any) -> CatgaError | None:
        """Commits; what a constraint that was put off until then has against it."""
        try:
            await transaction.commit()
        except asyncpg.IntegrityConstraintViolationError as error:
            return statement_error(error, "commit")
        except Exception as error:
            raise self._unknown(connection, error) from error
        return None

    async def _group(self, connection: Connection, units: Sequence[Unit]) -> Sequence[Outcome]:
        if not any(unit.statements for unit in units):
            books = self._groups.books(units)
            if books.plain:
                try:
                    await connection.fetchval(booking(self._database.options.schema), *books.arguments)
                    return [COMMITTED] * len(units)
                except Exception as error:
                    if code_of(error) not in (STALE, DUPLICATE):
                        raise self._unknown(connection, error) from error
        if (outcomes := await self._hopefully(connection, units)) is not None:
            return outcomes
        return await self._one_by_one(connection, units)

    async def _hopefully(self, connection: Connection, units: Sequence[Unit]) -> Sequence[Outcome] | None:
        """All of them in one transaction; None where the end of it was refused for the sake of one of them."""
        transaction = connection.transaction()
        await transaction.start()
        try:
            await self._groups.all(connection, units)
            outcomes: Sequence[Outcome] = [COMMITTED] * len(units)
        except Exception as error:
            if (gone := self._groups.lost(connection, error)) is not None:
                raise gone from error
            await transaction.rollback()
            transaction = connection.transaction()
            await transaction.start()
            outcomes = await self._groups.each(connection, units)
        return None if await self.end(connection, transaction) is not None else outcomes

    async def _one_by_one(self, connection: Connection, units: Sequence[Unit]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for unit in units:
            try:
                transaction = connection.transaction()
                await transaction.start()
                (outcome,) = await self._groups.each(connection, [unit])
                refused = await self.end(connection, transaction)
            except StoreError as error:
                if COMMITTED not in outcomes:
                    raise
                raise OutcomeUnknown(
                    "the commit was made in part",
                    where=self._database.where,
                    why=f"some of the group were committed one by one, and then: {error}",
                    fix="it is asked again through the marks",
                ) from error
            outcomes.append(outcome if refused is None else Outcome(Commit.FAILED, refused))
        return outcomes

    def _unknown(self, connection: Connection, error: Exception) -> Exception:
        """Whether it was written cannot be told when the line is lost while it is asked for."""
        if (
            not isinstance(error, LOST)
            and not connection.is_closed()
            and not isinstance(error, asyncpg.OperatorInterventionError)
        ):
            return error
        return OutcomeUnknown(
            "whether the commit was made is not known",
            where=self._database.where,
            why=str(error) or type(error).__name__,
            fix="it is asked again through the marks",
        )
