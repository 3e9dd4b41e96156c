"""Group commit: the units of many handlers by one script."""

from collections.abc import Sequence

from catga.backends.redis.bundles import Bundle, Tangled, alone, together
from catga.backends.redis.failures import commit_error
from catga.backends.redis.link import Link
from catga.backends.redis.scripts import COMMIT
from catga.errors import ForbiddenStatement
from catga.ports.messages import Outgoing
from catga.ports.store import COMMITTED, DUPLICATE, STALE, Commit, Outcome, Unit

FATES = (COMMITTED, DUPLICATE, STALE)


class Commits:
    """Of one store object; with `colocated` what units publish goes to the queue in the same script."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.colocated: bool = False

    async def commit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        """All of them as one bundle; where that is refused, nothing was written, and each is tried by itself."""
        writing = [unit for unit in units if not unit.statements]
        found = iter(await self._each(writing) if writing else ())
        return [_forbidden(unit) if unit.statements else next(found) for unit in units]

    async def write(self, batch: Sequence[Outgoing]) -> None:
        """Into the queue."""
        if batch:
            words: list[bytes] = []
            await self._ask([together([Unit(publish=batch)], True, words)], words)

    async def _each(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        words: list[bytes] = []
        try:
            if await self._ask([together(units, self.colocated, words)], words) == [0]:
                return [COMMITTED] * len(units)
        except Tangled:
            pass
        words = []
        bundles = [alone(unit, self.colocated, words) for unit in units]
        return [FATES[fate] for fate in await self._ask(bundles, words)]

    async def _ask(self, bundles: Sequence[Bundle], words: Sequence[bytes]) -> list[int]:
        keep = int(self._link.options.keep * 1e6)
        try:
            return await COMMIT(self._link, bundles, keep, words=words)  # type: ignore[no-any-return]
        except Exception as error:
            raise commit_error(error, self._link.options.where) from error


def _forbidden(unit: Unit) -> Outcome:
    error = ForbiddenStatement(
        "redis:// keeps no tables",
        where=unit.statements[0].sql,
        why="what is written through Transaction must be where the marks are",
        fix="use sqlite:/// or postgresql:// where handlers write",
    )
    return Outcome(Commit.FAILED, error)
