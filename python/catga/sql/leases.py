"""Leases on parts: a fair share for every live instance, a new epoch with every change of hands."""

from collections.abc import Sequence

from catga.ports.messages import Lease
from catga.ports.store import Share
from catga.sql.dialect import Dialect, marks
from catga.sql.procedures import Ask, Procedure


class Leases:
    """Expiry is by the clock that all instances share, the database's or the machine's; validity by each one's monotonic
    time."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._leases = f"{dialect.prefix}leases"
        self._members = f"{dialect.prefix}members"
        self._positions = f"{dialect.prefix}positions"

    def claim(
        self, scope: str, owner: str, parts: int, ttl: float, before: float, now: int, anew: bool
    ) -> Procedure[Share]:
        """Renews what this owner has, takes what is free or expired up to its share. `before` is the monotonic time before
        the call, `now` the machine's wall clock in ms."""
        yield from self._alone_at_it(scope)
        if self._dialect.now_ms is not None:
            ((now,),) = yield Ask(f"select {self._dialect.now_ms}")
        expires, until = now + int(ttl * 1000), before + ttl
        members = yield from self._join(scope, owner, now, expires)
        yield from self._make(scope, parts)
        # Shares differ by one at most: rounding up would leave the last of five with none of 16 parts.
        each, left = divmod(parts, len(members))
        share = each + (members.index(owner) < left)
        mine = yield Ask(
            f"select part, epoch, crashes from {self._leases} where scope = ? and owner = ? order by part {self._dialect.hold}",
            (scope, owner),
        )
        yield Ask(
            f"update {self._leases} set expires_ms = ?, epoch = epoch + ? where scope = ? and owner = ?",
            (expires, int(anew), scope, owner),
        )
        leases = [Lease(scope, part, epoch + anew, until, crashes) for part, epoch, crashes in mine]
        free = yield Ask(
            f"select part, epoch, owner, crashes from {self._leases} where scope = ? and (owner is null or (owner <> ? and expires_ms <= ?)) order by part",
            (scope, owner, now),
        )
        for part, epoch, last, crashed in free[: max(0, share - len(mine))]:
            crashes = crashed + (last is not None)
            yield Ask(
                f"update {self._leases} set owner = ?, epoch = ?, expires_ms = ?, crashes = ? where scope = ? and part = ?",
                (owner, epoch + 1, expires, crashes, scope, part),
            )
            leases.append(Lease(scope, part, epoch + 1, until, crashes))
        return Share(leases, max(0, len(mine) - share), {part: epoch for part, epoch, _ in mine} if anew else {})

    def release(self, scope: str, owner: str, leases: Sequence[Lease], leave: bool) -> Procedure[None]:
        """Given back cleanly: the next holder has nobody's unfinished work to suspect."""
        # A claim takes the same rows, members first: without their turns the two would wait for each other.
        yield from self._alone_at_it(scope)
        for lease in sorted(leases, key=_place):
            yield Ask(
                f"update {self._leases} set owner = null, crashes = 0, alone = null, alone_claims = 0 where scope = ? and part = ? and epoch = ? and owner = ?",
                (scope, lease.part, lease.epoch, owner),
            )
        if leave:
            yield Ask(f"delete from {self._members} where scope = ? and owner = ?", (scope, owner))

    def clear(self, leases: Sequence[Lease]) -> Procedure[None]:
        """Whoever crashed before is forgotten: what it had out has ended."""
        for lease in sorted(leases, key=_place):
            yield Ask(
                f"update {self._leases} set crashes = 0, alone = null, alone_claims = 0 where scope = ? and part = ? and epoch = ?",
                (lease.scope, lease.part, lease.epoch),
            )

    def holds(self, lease: Lease) -> Procedure[bool]:
        """Whether nobody has claimed the part since."""
        rows = yield Ask(f"select epoch from {self._leases} where scope = ? and part = ?", (lease.scope, lease.part))
        return bool(rows) and rows[0][0] == lease.epoch

    def alone(self, lease: Lease, token: int | bytes) -> Procedure[int]:
        """Counts a claim on one delivery alone; a message that kills its process is told from its neighbours by it."""
        place = (lease.scope, lease.part)
        ((alone, claims),) = yield Ask(
            f"select alone, alone_claims from {self._leases} where scope = ? and part = ?", place
        )
        before = int(claims) if alone == str(token) else 0
        yield Ask(
            f"update {self._leases} set alone = ?, alone_claims = ? where scope = ? and part = ? and epoch = ?",
            (str(token), before + 1, *place, lease.epoch),
        )
        return before

    def positions(self, scope: str, parts: Sequence[int]) -> Procedure[dict[int, str]]:
        """How far a log has been worked, per part; parts that nobody has begun are left out."""
        if not parts:
            return {}
        rows = yield Ask(
            f"select part, position from {self._positions} where scope = ? and part in {marks(len(parts))}",
            (scope, *parts),
        )
        return dict(rows)  # type: ignore[arg-type]

    def advance(self, owner: str, positions: Sequence[tuple[Lease, str]]) -> Procedure[None]:
        """Each under its lease."""
        for lease, position in positions:
            # In a table of their own: versions of what changes often slow down who looks at a lease.
            yield Ask(
                f"insert into {self._positions} (scope, part, position) select scope, part, cast(? as text) from {self._leases} where scope = ? and part = ? and epoch = ? and owner = ?"
                " on conflict (scope, part) do update set position = excluded.position",
                (position, lease.scope, lease.part, lease.epoch, owner),
            )

    def _alone_at_it(self, scope: str) -> Procedure[None]:
        if self._dialect.lock is not None:
            yield Ask(self._dialect.lock, (scope,))

    def _join(self, scope: str, owner: str, now: int, expires: int) -> Procedure[list[str]]:
        yield Ask(
            f"delete from {self._members} where scope = ? and (expires_ms <= ? or owner = ?)", (scope, now, owner)
        )
        yield Ask(f"insert into {self._members} (scope, owner, expires_ms) values (?, ?, ?)", (scope, owner, expires))
        rows = yield Ask(f"select owner from {self._members} where scope = ? order by owner", (scope,))
        return [member for (member,) in rows]

    def _make(self, scope: str, parts: int) -> Procedure[None]:
        ((there,),) = yield Ask(f"select count(*) from {self._leases} where scope = ?", (scope,))
        if there < parts:
            rows = ", ".join(["(?, ?, 0, 0)"] * parts)
            values = [value for part in range(parts) for value in (scope, part)]
            yield Ask(
                f"insert into {self._leases} (scope, part, epoch, expires_ms) values {rows} {self._dialect.ignore}",
                values,
            )


def _place(lease: Lease) -> tuple[str, int]:
    """The order in which a transaction takes several: that of commits, or the two would wait for each other."""
    return lease.scope, lease.part
