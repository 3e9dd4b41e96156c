"""Leases on parts: a fair share for every live instance, a new epoch with every change of hands."""

import sqlite3
from collections.abc import Sequence

from catga.clock import Clock
from catga.ports.messages import Lease
from catga.ports.store import Share


class Leases:
    """Expiry is by the wall clock that all processes of one machine share; validity by each one's monotonic time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def claim(
        self, connection: sqlite3.Connection, scope: str, owner: str, parts: int, ttl: float, before: float
    ) -> Share:
        """Renews what this owner has, takes what is free or expired up to its share."""
        now = self._clock.wall_ms()
        expires = now + int(ttl * 1000)
        connection.execute("delete from catga_members where scope = ? and expires_ms <= ?", (scope, now))
        connection.execute("insert or replace into catga_members values (?, ?, ?)", (scope, owner, expires))
        members = [
            member
            for (member,) in connection.execute(
                "select owner from catga_members where scope = ? order by owner", (scope,)
            )
        ]
        connection.executemany(
            "insert or ignore into catga_leases (scope, part, epoch, expires_ms) values (?, ?, 0, 0)",
            [(scope, part) for part in range(parts)],
        )
        # Shares differ by one at most: rounding up would leave the last of five with none of 16 parts.
        each, left = divmod(parts, len(members))
        share = each + (members.index(owner) < left)
        mine = connection.execute(
            "select part, epoch, crashes from catga_leases where scope = ? and owner = ?", (scope, owner)
        ).fetchall()
        connection.execute(
            "update catga_leases set expires_ms = ? where scope = ? and owner = ?", (expires, scope, owner)
        )
        until = before + ttl
        leases = [Lease(scope, part, epoch, until, crashes) for part, epoch, crashes in mine]
        free = connection.execute(
            "select part, epoch, owner, crashes from catga_leases where scope = ? and (owner is null or (owner <> ? and expires_ms <= ?)) order by part",
            (scope, owner, now),
        ).fetchall()
        for part, epoch, last, crashed in free[: max(0, share - len(mine))]:
            crashes = crashed + (last is not None)
            connection.execute(
                "update catga_leases set owner = ?, epoch = ?, expires_ms = ?, crashes = ? where scope = ? and part = ?",
                (owner, epoch + 1, expires, crashes, scope, part),
            )
            leases.append(Lease(scope, part, epoch + 1, until, crashes))
        return Share(leases, max(0, len(mine) - share))

    def release(
        self, connection: sqlite3.Connection, scope: str, owner: str, leases: Sequence[Lease], leave: bool
    ) -> None:
        """Given back cleanly: the next holder has nobody's unfinished work to suspect."""
        for lease in leases:
            connection.execute(
                "update catga_leases set owner = null, crashes = 0, alone = 0, alone_claims = 0 where scope = ? and part = ? and epoch = ? and owner = ?",
                (scope, lease.part, lease.epoch, owner),
            )
        if leave:
            connection.execute("delete from catga_members where scope = ? and owner = ?", (scope, owner))

    def clear(self, connection: sqlite3.Connection, leases: Sequence[Lease]) -> None:
        """Whoever crashed before is forgotten: what it had out has ended."""
        connection.executemany(
            "update catga_leases set crashes = 0, alone = 0, alone_claims = 0 where scope = ? and part = ? and epoch = ?",
            [(lease.scope, lease.part, lease.epoch) for lease in leases],
        )

    def holds(self, connection: sqlite3.Connection, lease: Lease) -> bool:
        """Whether nobody has claimed the part since."""
        row = connection.execute(
            "select epoch from catga_leases where scope = ? and part = ?", (lease.scope, lease.part)
        ).fetchone()
        return row is not None and row[0] == lease.epoch

    def alone(self, connection: sqlite3.Connection, lease: Lease, token: int) -> int:
        """Counts a claim on one delivery alone; a message that kills its process is told from its neighbours by it."""
        alone, claims = connection.execute(
            "select alone, alone_claims from catga_leases where scope = ? and part = ?", (lease.scope, lease.part)
        ).fetchone()
        before = claims if alone == token else 0
        connection.execute(
            "update catga_leases set alone = ?, alone_claims = ? where scope = ? and part = ? and epoch = ?",
            (token, before + 1, lease.scope, lease.part, lease.epoch),
        )
        return int(before)
