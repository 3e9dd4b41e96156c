"""What others have done wrong, done on purpose: the harness must notice."""

import sys
from collections.abc import Callable, Collection, Sequence

from catga.backends.postgres import lanes
from catga.backends.postgres.rows import PostgresRows
from catga.backends.postgres.store import PostgresStore
from catga.ports import Lease, Share
from catga.queues import Row, Want

FOUR = 4


def read_by_number() -> None:
    """Rows are read above the last number that was seen: those of transactions that end later are never looked for."""
    question = lanes.question

    def naive(schema: str) -> str:
        return question(schema).replace("where w.past < w.drawn and", "where false and")

    lanes.question = naive


def compete_for_messages() -> None:
    """Everybody works every part, one message in four, and no commit is fenced."""
    mine = int(sys.argv[4]) % FOUR

    async def claim(
        self: PostgresStore, scope: str, owner: str, parts: int, ttl: float, *, anew: bool = False
    ) -> Share:
        until = self.clock.monotonic() + ttl
        return Share([Lease(scope, part, 0, until) for part in range(parts)], 0)

    books = PostgresStore.commit

    async def commit(self: PostgresStore, units: object) -> object:
        for unit in units:  # type: ignore[attr-defined]
            unit.leases = ()
        return await books(self, units)  # type: ignore[arg-type]

    look = PostgresRows.read

    async def read(
        self: PostgresRows, wants: Sequence[Want], most: int, known: Collection[int]
    ) -> tuple[Sequence[Row], Collection[tuple[int, bool]]]:
        rows, ended = await look(self, wants, most, known)
        return [row for row in rows if row[2] % FOUR == mine], ended

    PostgresRows.read = read  # type: ignore[method-assign]
    PostgresStore.claim = claim  # type: ignore[method-assign]
    PostgresStore.commit = commit  # type: ignore[method-assign, assignment]


WRONG: dict[str, Callable[[], None]] = {"reads by number": read_by_number, "no leases": compete_for_messages}
