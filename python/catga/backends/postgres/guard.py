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
    "copy",
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
_BLOCKS = {"call", "do"}
_DEFINING = {"alter", "comment", "create", "drop", "grant", "refresh", "revoke", "security"}
"""Our tables have triggers against what writes to them; there is none against what changes them."""


class Guard:
    """Of one schema."""

    def __init__(self, schema: str) -> None:
        self._ours = re.compile(rf'(?<![a-z0-9_])"?{schema}"?(?![a-z0-9_])', re.IGNORECASE)

    def check(self, sql: str) -> None:
        """Raises `ForbiddenStatement`."""
        word = _word(sql)
        if word in _FORBIDDEN or (word in _DEFINING and self._ours.search(sql)):
            raise refused(sql)

    def check_question(self, sql: str) -> None:
        """The same, for what runs outside a transaction, where a block could end its own."""
        if _word(sql) in _BLOCKS:
            raise refused(sql)
        self.check(sql)


def _word(sql: str) -> str:
    found = _WORD.match(sql)
    return "" if found is None else found.group(1).lower()
