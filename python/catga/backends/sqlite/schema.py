"""The tables, and how an older file becomes a newer one."""

import sqlite3

from catga.errors import SchemaMismatch, StoreCorrupt

VERSION = 1

MIGRATIONS = {
    1: """
    create table catga_names (no integer primary key, name text not null unique);
    create table catga_queue (number integer primary key, frame blob not null);  -- the number says where it stands: see places.py
    create table catga_outbox (
        seq integer primary key autoincrement,
        part integer not null, id blob not null, channel text not null, key blob, priority integer not null, due_ms integer not null, frame blob not null
    );
    create index catga_outbox_part on catga_outbox (part, seq);
    create table catga_marks (
        day integer not null, handler integer not null, id blob not null, state integer not null, reply blob,
        primary key (day, handler, id)
    ) without rowid;
    create table catga_parked (
        handler integer not null, id blob not null, channel integer not null, part integer not null, key blob,
        state text not null, due_ms integer not null, frame blob not null, claims integer not null, failures integer not null,
        reason text not null, history blob not null, place integer not null,
        primary key (handler, id)
    ) without rowid;
    create index catga_parked_due on catga_parked (channel, state, due_ms);
    create index catga_parked_key on catga_parked (handler, channel, part, key, place);
    create table catga_leases (
        scope text not null, part integer not null, epoch integer not null, owner text, expires_ms integer not null,
        crashes integer not null default 0, alone text, alone_claims integer not null default 0,
        primary key (scope, part)
    ) without rowid;
    create table catga_positions (scope text not null, part integer not null, position text not null, primary key (scope, part)) without rowid;
    create table catga_members (scope text not null, owner text not null, expires_ms integer not null, primary key (scope, owner)) without rowid;
    create table catga_turns (last integer not null);  -- never given twice: readers remember how far they have read
    insert into catga_turns values (0);
    create table catga_schema (version integer not null);
    insert into catga_schema values (1);
    """,
}


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Brings the file to this release's schema, inside one transaction; refuses a file from a newer release."""
    connection.execute("begin immediate")
    try:
        found = _version(connection, path)
        if found > VERSION:
            raise SchemaMismatch(
                f"{path} has schema {found}, this release knows {VERSION}",
                where=path,
                why="a newer release has used this file",
                fix="update catga in this process, or use another file",
            )
        for version in range(found + 1, VERSION + 1):
            for statement in filter(None, (text.strip() for text in _statements(MIGRATIONS[version]))):
                connection.execute(statement)
            connection.execute("update catga_schema set version = ?", (version,))
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def check_version(connection: sqlite3.Connection, path: str) -> None:
    """That no other process has moved the schema on while this one was open."""
    found = _version(connection, path)
    if found != VERSION:
        raise SchemaMismatch(
            f"{path} was moved to schema {found} while this process, which knows {VERSION}, was running",
            where=path,
            fix="restart this process with the newer release",
        )


def _version(connection: sqlite3.Connection, path: str) -> int:
    if connection.execute("select 1 from sqlite_master where name = 'catga_schema'").fetchone() is None:
        return 0
    found = connection.execute("select version from catga_schema").fetchone()
    if found is None or type(found[0]) is not int:
        raise StoreCorrupt(
            "the SQLite store cannot be used: its schema has no version",
            where=path,
            why="the file is damaged",
            fix="restore it from a backup; `sqlite3 file .recover` may save most of it",
        )
    return found[0]


def _statements(script: str) -> list[str]:
    lines = (line.split("--")[0] for line in script.splitlines())
    return "\n".join(lines).split(";")
