"""Transactions of our users' own: one statement of ours in them, whichever driver they use."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from catga.errors import InvalidArgument

Messages: TypeAlias = Sequence[list[Any]]
"""Lanes, channels and frames."""


async def publish(transaction: Any, schema: str, messages: Messages) -> None:
    """Writes messages in a transaction that is open; what the driver raises is its user's, whose transaction it is."""
    given: type[Any] = transaction.__class__
    run = _known.get(given) or _runner(given)
    await run(transaction, schema, messages)


def _runner(given: type[Any]) -> "Runner":
    for kind in given.__mro__:
        run = _RUNNERS.get(kind.__module__.partition(".")[0])
        if run is not None:
            _known[given] = run
            return run
    raise InvalidArgument(
        f"within= cannot be a {given.__name__}",
        why="its driver is not known",
        fix="give an asyncpg.Connection, a psycopg.AsyncConnection, or SQLAlchemy's AsyncSession or AsyncConnection",
    )


async def _asyncpg(connection: Any, schema: str, messages: Messages) -> None:
    if not connection.is_in_transaction():
        raise _none_open("async with connection.transaction(): …")
    sql, arguments = _numbered(schema, messages)
    await connection.execute(sql, *arguments)


async def _psycopg(connection: Any, schema: str, messages: Messages) -> None:
    _only_async(connection, "psycopg.AsyncConnection")
    if connection.autocommit and not connection.info.transaction_status:
        raise _none_open("async with connection.transaction(): …")
    sql, arguments = _unnumbered(schema, messages)
    await connection.execute(sql, arguments)


async def _sqlalchemy(session: Any, schema: str, messages: Messages) -> None:
    _only_async(session, "AsyncSession or AsyncConnection")
    connection = await session.connection() if hasattr(session, "connection") else session
    asks = _numbered if connection.dialect.paramstyle == "numeric_dollar" else _unnumbered
    sql, arguments = asks(schema, messages)
    await connection.exec_driver_sql(sql, tuple(arguments))


Runner: TypeAlias = Callable[[Any, str, Messages], Awaitable[None]]

_RUNNERS: Final[dict[str, Runner]] = {
    "asyncpg": _asyncpg,
    "psycopg": _psycopg,
    "sqlalchemy": _sqlalchemy,
}

_known: Final[dict[type[Any], Runner]] = {}


def _numbered(schema: str, messages: Messages) -> tuple[str, Sequence[Any]]:
    if len(messages[0]) == 1:
        return f"select {schema}.publish($1::int, $2::int, $3::bytea)", [one for (one,) in messages]
    return f"select {schema}.publish($1::int[], $2::int[], $3::bytea[])", messages


def _unnumbered(schema: str, messages: Messages) -> tuple[str, Sequence[Any]]:
    sql, arguments = _numbered(schema, messages)
    return re.sub(r"\$\d", "%s", sql), arguments


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
