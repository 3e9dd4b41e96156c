"""Statements that would end, nest or escape the transaction that handlers share: known by their first word. Only single
statements are sent, so that nothing can follow a harmless one."""

import re

from catga.backends.postgres.failures import refused

_WORD = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)*([a-z]*)", re.IGNORECASE | re.DOTALL)

_FORBIDDEN = {
    "abort",
    "begin",
    "checkpoint",
    "cluster",
    "commit",
    "deallocate",
    "discard",
    "end",
    "listen",
    "prepare",
    "reindex",
    "release",
    "reset",
    "rollback",
    "savepoint",
    "set",
    "start",
    "unlisten",
    "vacuum",
}


def check(sql: str) -> None:
    """Raises `ForbiddenStatement`."""
    found = _WORD.match(sql)
    if found is not None and found.group(1).lower() in _FORBIDDEN:
        raise refused(sql)
