"""Transactions of our users' own: one statement of ours in them, whichever driver they use."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from catga.errors import InvalidArgument

Messages: TypeAlias = Sequence[list[Any]]
"""Lanes, channels and frames."""


async def publish(transaction: Any, schema: str, messages: Messages) -> None:
    """Writes messages in a transaction that is open; what the driver raises is its user's, whose transaction it is."""
    for kind in type(transaction).__mro__:
        run = _RUNNERS.get(kind.__module__.partition(".")[0])
        if run is not None:
            return await run(transaction, schema, messages)
    raise InvalidArgument(
        f"within= cannot be a {type(transaction).__name__}",
        why="its driver is not known",
        fix="give an asyncpg.Connection, a psycopg.AsyncConnection, or SQLAlchemy's AsyncSession or AsyncConnection",
    )


async def _asyncpg(connection: Any, schema: str, messages: Messages) -> None:
    if not connection.is_in_transaction():
        raise _none_open("async with connection.transaction(): …")
    await connection.fetchval(_numbered(schema), *messages)


async def _psycopg(connection: Any, schema: str, messages: Messages) -> None:
    _only_async(connection, "psycopg.AsyncConnection")
    if connection.autocommit and not connection.info.transaction_status:
        raise _none_open("async with connection.transaction(): …")
    await connection.execute(_unnumbered(schema), messages)


async def _sqlalchemy(session: Any, schema: str, messages: Messages) -> None:
    _only_async(session, "AsyncSession or AsyncConnection")
    connection = await session.connection() if hasattr(session, "connection") else session
    asks = _numbered if connection.dialect.paramstyle == "numeric_dollar" else _unnumbered
    await connection.exec_driver_sql(asks(schema), tuple(messages))


_RUNNERS: Final[dict[str, Callable[[Any, str, Messages], Awaitable[None]]]] = {
    "asyncpg": _asyncpg,
    "psycopg": _psycopg,
    "sqlalchemy": _sqlalchemy,
}


def _numbered(schema: str) -> str:
    return f"select {schema}.publish($1, $2, $3)"


def _unnumbered(schema: str) -> str:
    # Said, because not every driver can tell what it is given.
    return f"select {schema}.publish(%s::int[], %s::int[], %s::bytea[])"


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
