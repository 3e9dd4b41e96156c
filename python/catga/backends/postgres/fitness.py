"""Whether a server keeps what it says it has committed: asked once, when the store is opened."""

import logging

from catga.backends.fitness import refuse
from catga.backends.postgres.database import Connection
from catga.backends.postgres.options import PostgresOptions

log: logging.Logger = logging.getLogger("catga.postgres")

OLDEST = 13
"""Numbers of transactions have 64 bits since then: they are not used again."""
_SETTINGS = ("server_version_num", "fsync", "synchronous_commit", "full_page_writes")


async def check_server(connection: Connection, options: PostgresOptions) -> None:
    """Raises for settings that would break promises; warns of one that may, as it depends on the disk below."""
    asked = ", ".join(f"current_setting('{name}')" for name in _SETTINGS)
    version, synced, waits, whole = await connection.fetchrow(f"select {asked}")
    mistakes: list[tuple[str, str]] = []
    if int(version) // 10_000 < OLDEST:
        mistakes.append((f"it is version {int(version) // 10_000}", f"use PostgreSQL {OLDEST} or newer"))
    if options.durability != "NONE":
        if synced == "off":
            mistakes.append(
                ("it never waits for its disk (fsync off)", "fsync = on, or accept losses: durability=none")
            )
        if waits == "off":
            mistakes.append(
                (
                    "it says committed before it has written (synchronous_commit off)",
                    "add synchronous_commit=on to the URL, or accept losses: durability=none",
                )
            )
        if whole == "off":
            log.warning(
                "%s: full_page_writes is off: unless its disk writes whole pages at once, a power failure may leave torn ones",
                options.identity,
            )
    refuse("PostgreSQL", options.identity, "the server is set up for speed, or is an old one", mistakes)
