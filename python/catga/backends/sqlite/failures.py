"""SQLite's errors as ours: what happened to the store, or to one statement."""

import sqlite3

from catga.errors import CatgaError, StatementFailed, StoreCorrupt, StoreFull, StoreReadOnly, StoreUnavailable

_STORE = {
    sqlite3.SQLITE_BUSY: (
        StoreUnavailable,
        "its write lock was not had in time",
        "see who holds it, or raise lock_timeout",
    ),
    sqlite3.SQLITE_LOCKED: (StoreUnavailable, "it is locked", "close what uses it in this process"),
    sqlite3.SQLITE_CANTOPEN: (
        StoreUnavailable,
        "it cannot be opened",
        "check that the folder exists and may be written",
    ),
    sqlite3.SQLITE_IOERR: (
        StoreUnavailable,
        "reading or writing failed",
        "check the disk; the work goes on when it answers again",
    ),
    sqlite3.SQLITE_PROTOCOL: (
        StoreUnavailable,
        "its log could not be locked",
        "check that all users share one machine",
    ),
    sqlite3.SQLITE_NOTADB: (StoreCorrupt, "the file is no database", "name another file, or restore it from a backup"),
    sqlite3.SQLITE_CORRUPT: (
        StoreCorrupt,
        "the file is damaged",
        "restore it from a backup; `sqlite3 file .recover` may save most of it",
    ),
    sqlite3.SQLITE_READONLY: (
        StoreReadOnly,
        "it may not be written",
        "give this process write access to the file and its folder",
    ),
    sqlite3.SQLITE_PERM: (
        StoreReadOnly,
        "access is denied",
        "give this process write access to the file and its folder",
    ),
    sqlite3.SQLITE_FULL: (StoreFull, "the disk or the size limit is full", "make room; what waits is done then"),
}


def store_error(error: sqlite3.Error, path: str) -> CatgaError | None:
    """The error of the whole store, or None where only a statement was wrong."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code not in _STORE:
        return None
    kind, why, fix = _STORE[code]
    return kind(f"the SQLite store cannot be used: {error}", where=path, why=why, fix=fix)


def statement_error(error: sqlite3.Error, sql: str) -> StatementFailed:
    """One handler's statement that failed."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    failed = StatementFailed(
        f"a statement of the handler failed: {error}",
        where=sql,
        why=name,
        fix="the handler's writes were rolled back; mend the statement or handle the case",
    )
    failed.__cause__ = error
    return failed
