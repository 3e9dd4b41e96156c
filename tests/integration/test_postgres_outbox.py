"""The outbox of PostgreSQL, beside what every store promises."""

import asyncpg
from tests.integration.servers import server
from tests.integration.test_conformance_postgres import name_of, schema

from catga.backends.postgres import PostgresOptions, PostgresStore
from catga.backends.postgres.reading import Place
from catga.clock import SystemClock
from catga.ports import Unit
from catga.testing.conformance.base import CHANNEL, message, numbers

__all__ = ["schema"]

ROWS = 50


async def test_who_begins_where_another_ended_looks_at_no_old_rows(schema: str) -> None:
    """A place without a number would have every row of the lane looked at that is still there: millions, on some days."""
    first, second = (PostgresStore(PostgresOptions.parse(schema), SystemClock()) for _ in range(2))
    for store in (first, second):
        await store.open()
        await store.declare([CHANNEL])
    await first.commit([Unit(publish=[message(number) for number in range(ROWS)])])
    leases = (await first.claim("@relay", "a", 1, 30)).leases
    # All of it with the first question.
    rows = await first.outbox(leases, 2 * ROWS)
    assert numbers(rows) == list(range(ROWS))
    await first.sent(leases, rows)
    await first.release("@relay", "a", leases, leave=True)
    connection = await asyncpg.connect(server("postgres"))
    (position,) = await connection.fetchrow(f"select position from {name_of(schema)}.outbox")
    (highest,) = await connection.fetchrow(f"select max(seq) from {name_of(schema)}.messages")
    await connection.close()
    assert Place.parse(position).seen.drawn >= highest
    await second.commit([Unit(publish=[message(ROWS)])])
    leases = (await second.claim("@relay", "b", 1, 30)).leases
    assert numbers(await second.outbox(leases, 10)) == [ROWS]
    for store in (first, second):
        await store.close()
