"""Counting what has not been read yet."""

from collections.abc import Mapping

from catga.backends.postgres.database import Connection
from catga.backends.postgres.reading import BEGINNING, Place

MOST = 1000
"""Counted no further: it is asked whether anything is left."""


async def lanes_of(connection: Connection, table: str) -> list[int]:
    """Lanes that have rows in a table or partition: one step in the index each."""
    rows = await connection.fetch(
        f"with recursive found (lane) as (select min(lane) from {table} union all select (select min(lane) from {table} where lane > found.lane) from found where found.lane is not null)"
        " select lane from found where lane is not null"
    )
    return [lane for (lane,) in rows]


async def count(connection: Connection, table: str, places: Mapping[int, Place]) -> int:
    """Rows of these lanes that stand behind their places."""
    chosen = list(places.items())
    found = await connection.fetchval(
        "select coalesce(sum(n), 0) from unnest($1::int[], $2::text[], $3::text[], $4::bigint[]) as w(lane, seen, until, past)"
        f" cross join lateral (select count(*) as n from (select 1 from {table} as m"
        " where m.lane = w.lane and m.xid >= pg_snapshot_xmin(w.seen::pg_snapshot) and not pg_visible_in_snapshot(m.xid, w.seen::pg_snapshot)"
        f" and (w.until is null or m.seq > w.past or not pg_visible_in_snapshot(m.xid, w.until::pg_snapshot)) limit {MOST}) as few) as counted",
        [lane for lane, _ in chosen],
        [place.seen.snapshot.text for _, place in chosen],
        [None if place.until is None else place.until.snapshot.text for _, place in chosen],
        [place.past for _, place in chosen],
    )
    return int(found)


async def waiting(connection: Connection, table: str, places: Mapping[int, Place]) -> int:
    """Rows that nobody has read, or that stand behind where their lane was read to."""
    lanes = await lanes_of(connection, table)
    return await count(connection, table, {lane: places.get(lane, BEGINNING) for lane in lanes})
