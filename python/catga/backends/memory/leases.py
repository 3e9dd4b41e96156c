"""Leases on parts: a fair share for every live instance, a new epoch with every change of hands."""

from collections.abc import Sequence

from catga.ports.messages import Lease
from catga.ports.store import Share


class Part:
    """Who works one part of a scope."""

    __slots__ = ("alone", "alone_claims", "crashes", "epoch", "expires", "owner", "position")

    def __init__(self) -> None:
        self.owner: str | None = None
        self.epoch: int = 0
        self.expires: float = 0.0
        self.position: str | None = None
        self.forget()

    def forget(self) -> None:
        """Whoever crashed before no longer counts."""
        self.crashes: int = 0
        self.alone: int | bytes | None = None
        self.alone_claims: int = 0


class Leases:
    """All instances live in one process: its monotonic time decides what has expired."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, int], Part] = {}
        self._members: dict[str, dict[str, float]] = {}

    def claim(self, scope: str, owner: str, parts: int, ttl: float, now: float, anew: bool = False) -> Share:
        """Renews what this owner has, takes what is free or expired up to its share."""
        members = {name: expires for name, expires in self._members.get(scope, {}).items() if expires > now}
        members[owner] = now + ttl
        self._members[scope] = members
        share = fair_share(parts, sorted(members), owner)
        all_parts = {part: self._parts.setdefault((scope, part), Part()) for part in range(parts)}
        mine = [part for part, held in all_parts.items() if held.owner == owner]
        before = {part: all_parts[part].epoch for part in mine} if anew else {}
        for part in mine:
            all_parts[part].expires = now + ttl
            all_parts[part].epoch += anew
        leases = [Lease(scope, part, all_parts[part].epoch, now + ttl, all_parts[part].crashes) for part in mine]
        free = [
            part
            for part, held in all_parts.items()
            if held.owner is None or (held.owner != owner and held.expires <= now)
        ]
        for part in free[: max(0, share - len(mine))]:
            held = all_parts[part]
            held.crashes += held.owner is not None
            held.owner, held.epoch, held.expires = owner, held.epoch + 1, now + ttl
            leases.append(Lease(scope, part, held.epoch, now + ttl, held.crashes))
        return Share(leases, max(0, len(mine) - share), before)

    def release(self, scope: str, owner: str, leases: Sequence[Lease], leave: bool) -> None:
        """Given back cleanly: the next holder has nobody's unfinished work to suspect."""
        for lease in leases:
            part = self._parts.get((scope, lease.part))
            if part is not None and part.epoch == lease.epoch and part.owner == owner:
                part.owner = None
                part.forget()
        if leave:
            self._members.get(scope, {}).pop(owner, None)

    def clear(self, leases: Sequence[Lease]) -> None:
        """What their crashed holders had out has ended."""
        for lease in leases:
            if self.holds(lease):
                self._parts[lease.scope, lease.part].forget()

    def holds(self, lease: Lease) -> bool:
        """Whether nobody has claimed the part since."""
        part = self._parts.get((lease.scope, lease.part))
        return part is not None and part.epoch == lease.epoch

    def alone(self, lease: Lease, token: int | bytes) -> int:
        """Counts a claim on one delivery alone; how many there were before."""
        part = self._parts[lease.scope, lease.part]
        before = part.alone_claims if part.alone == token else 0
        if part.epoch == lease.epoch:
            part.alone, part.alone_claims = token, before + 1
        return before

    def positions(self, scope: str, parts: Sequence[int]) -> dict[int, str]:
        """How far a log has been worked."""
        found = {part: held.position for part in parts if (held := self._parts.get((scope, part))) is not None}
        return {part: position for part, position in found.items() if position is not None}

    def advance(self, owner: str, positions: Sequence[tuple[Lease, str]]) -> None:
        """Each under its lease."""
        for lease, position in positions:
            if self.holds(lease) and self._parts[lease.scope, lease.part].owner == owner:
                self._parts[lease.scope, lease.part].position = position


def fair_share(parts: int, members: Sequence[str], owner: str) -> int:
    """Shares differ by one at most: 16 parts are 16, 8 and 8, 6 and 5 and 5."""
    each, left = divmod(parts, len(members))
    return each + (members.index(owner) < left)
