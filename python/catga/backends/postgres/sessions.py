"""Transactions of our users' own: one statement of ours in them, whichever driver they use."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from catga.errors import InvalidArgument

TYPES: Final = ("text[]", "int[]", "bigint[]", "int[]", "int[]", "bytea[]", "int[]", "int[]", "bytea[]")
"""Of what `book` takes: said, because not every driver can tell what is in an empty list."""


async def call(transaction: Any, function: str, arguments: Sequence[Any]) -> None:
    """Calls a function with the arguments of `book` in a transaction that is open; what the driver raises is its user's, whose
    transaction it is."""
    for kind in type(transaction).__mro__:
        run = _RUNNERS.get(kind.__module__.partition(".")[0])
        if run is not None:
            return await run(transaction, function, arguments)
    raise InvalidArgument(
        f"within= cannot be a {type(transaction).__name__}",
        why="its driver is not known",
        fix="give an asyncpg.Connection, a psycopg.AsyncConnection, or SQLAlchemy's AsyncSession or AsyncConnection",
    )


async def _asyncpg(connection: Any, function: str, arguments: Sequence[Any]) -> None:
    if not connection.is_in_transaction():
        raise _none_open("async with connection.transaction(): …")
    await connection.fetchval(f"select {function}({_placed('$')})", *arguments)


async def _psycopg(connection: Any, function: str, arguments: Sequence[Any]) -> None:
    _only_async(connection, "psycopg.AsyncConnection")
    if connection.autocommit and not connection.info.transaction_status:
        raise _none_open("async with connection.transaction(): …")
    await connection.execute(f"select {function}({_placed('%')})", list(arguments))


async def _sqlalchemy(session: Any, function: str, arguments: Sequence[Any]) -> None:
    _only_async(session, "AsyncSession or AsyncConnection")
    connection = await session.connection() if hasattr(session, "connection") else session
    style = "$" if connection.dialect.paramstyle == "numeric_dollar" else "%"
    await connection.exec_driver_sql(f"select {function}({_placed(style)})", tuple(arguments))


_RUNNERS: Final[dict[str, Callable[[Any, str, Sequence[Any]], Awaitable[None]]]] = {
    "asyncpg": _asyncpg,
    "psycopg": _psycopg,
    "sqlalchemy": _sqlalchemy,
}


def _placed(style: str) -> str:
    return ", ".join(f"{f'${n}' if style == '$' else '%s'}::{type}" for n, type in enumerate(TYPES, 1))


def _only_async(given: Any, wanted: str) -> None:
    if not type(given).__name__.lower().startswith("async") and not hasattr(given, "__aenter__"):
        raise InvalidArgument(
            f"within= is a {type(given).__name__}, which blocks",
            why="it would hold up every other task",
            fix=f"give {wanted}",
        )


def _none_open(how: str) -> InvalidArgument:
    return InvalidArgument(
        "within= has no transaction open",
        why="the message would be committed at once, and alone",
        fix=how,
    )
