"""PostgreSQL's errors as ours: what happened to the server, or to one statement."""

from typing import Any

import asyncpg

from catga.errors import (
    CatgaError,
    ForbiddenStatement,
    StatementFailed,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)

LOST = (OSError, EOFError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.InternalClientError)
"""The line, not the statement: nothing is known of what was under way. The driver's internal error is what it raises between
the server's farewell and the end of the connection."""

STALE, DUPLICATE, OURS = "CT001", "CT002", "CT003"
"""What our own functions raise."""

_STORE: tuple[tuple[tuple[type[Exception], ...], type[StoreError], str, str], ...] = (
    (
        (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError),
        StoreUnavailable,
        "the server refused the user or the password",
        "check them in the URL",
    ),
    ((asyncpg.InvalidCatalogNameError,), StoreUnavailable, "there is no such database", "create it, or mend the URL"),
    (
        (asyncpg.InsufficientPrivilegeError,),
        StoreReadOnly,
        "the user may not do this",
        "grant it the schema, or let its owner start the app once",
    ),
    (
        (asyncpg.ReadOnlySQLTransactionError,),
        StoreReadOnly,
        "the server takes no writes: a standby, perhaps",
        "connect to the primary (target_session_attrs=read-write)",
    ),
    (
        (asyncpg.DiskFullError, asyncpg.OutOfMemoryError),
        StoreFull,
        "the server has no room left",
        "make room; what waits is done then",
    ),
    (
        (asyncpg.TooManyConnectionsError,),
        StoreUnavailable,
        "the server takes no more connections",
        "raise max_connections, or lower pool=",
    ),
    (
        (asyncpg.OperatorInterventionError, asyncpg.ConfigurationLimitExceededError),
        StoreUnavailable,
        "the server is going down, or not up yet",
        "nothing: the work goes on when it answers again",
    ),
    (
        (asyncpg.TransactionRollbackError,),
        StoreUnavailable,
        "the server undid the transaction for the sake of another",
        "nothing: it is tried again",
    ),
)


def store_error(error: BaseException, where: str) -> CatgaError | None:
    """The error of the whole store, or None where only a statement was wrong."""
    if isinstance(error, CatgaError):
        return error
    if isinstance(error, LOST):
        return unavailable(error, where)
    for kinds, kind, why, fix in _STORE:
        if isinstance(error, kinds):
            return kind(f"PostgreSQL cannot be used: {error}", where=where, why=why, fix=fix)
    return None


def lost(connection: Any, error: Exception, where: str) -> CatgaError | None:
    """What is wrong with the store, or with the line to it; None where only a handler's own statement was wrong."""
    if isinstance(error, CatgaError):
        return error if isinstance(error, (StoreUnavailable, StoreReadOnly, StoreFull)) else None
    if connection.is_closed():
        return store_error(error, where) or unavailable(error, where)
    if isinstance(error, (asyncpg.InsufficientPrivilegeError, asyncpg.ProtocolViolationError)):
        return None
    return store_error(error, where)


def unavailable(error: BaseException, where: str) -> StoreUnavailable:
    """The line is lost."""
    return StoreUnavailable(
        "PostgreSQL does not answer",
        where=where,
        why=str(error) or type(error).__name__,
        fix="check that it runs and can be reached; the work goes on when it answers again",
    )


def code_of(error: BaseException) -> str:
    """The SQLSTATE, where there is one."""
    return str(getattr(error, "sqlstate", None) or "")


def refused(sql: str) -> ForbiddenStatement:
    """A statement that a handler may not run."""
    return ForbiddenStatement(
        "this statement is not allowed in a handler",
        where=sql,
        why="it would end, nest or escape the commit that this handler shares with others, change its session, write where only reading is allowed, or write Catga's own tables",
        fix="leave transactions to Catga; ask for a `Connection` to hold one of your own",
    )


def statement_error(error: BaseException, sql: str) -> CatgaError:
    """One handler's statement that failed."""
    if isinstance(error, CatgaError):
        return error
    if code_of(error) == OURS or isinstance(
        error, (asyncpg.ReadOnlySQLTransactionError, asyncpg.InvalidTransactionTerminationError)
    ):
        return refused(sql)
    failed = StatementFailed(
        f"a statement of the handler failed: {error}",
        where=sql,
        why=type(error).__name__,
        fix="the handler's writes were rolled back; mend the statement or handle the case",
    )
    failed.__cause__ = error
    return failed
