"""Asking for the rows of many lanes at once."""

from collections.abc import Sequence
from typing import Any

import msgspec

from catga.backends.postgres.reading import Lane, Seen, Snapshot, Step


class Found(msgspec.Struct, frozen=True, gc=False):
    """One row, with the step it belongs to."""

    lane: int
    number: int
    channel: int
    frame: bytes
    step: Step


def now_seen(schema: str) -> str:
    """What this statement sees, and the last number that was drawn when it ran: numbers are drawn after the snapshot was taken,
    so this one belongs to the snapshot that is taken next."""
    return f"select 0::bigint as n, last_value as seq, 0 as channel, convert_to(pg_current_snapshot()::text, 'UTF8') as frame from {schema}.seq"


def question(schema: str) -> str:
    """$1 lanes, $2 drawn before, $3 past, $4 seen, $5 until (or null), $6 room: for each lane its next rows, in the order of
    their numbers within a step; and first what the question sees.

    The first branch reads by number. The others find rows whose numbers were drawn before the lane was last seen, by
    transactions that were open then: those that the snapshot names, and those above all that had ended (`xmax` is no more
    than that: they may have run for long). They stand before all others in their step, so that they are looked for only in
    its beginning."""
    row = "m.seq, m.channel, m.frame"
    visible = "(w.until is null or pg_visible_in_snapshot(m.xid, w.until::pg_snapshot))"
    # A sum is no column: the planner shall go by transaction, where there are few, and not by number, where there are many.
    late = "m.seq + 0 > w.past and m.seq + 0 <= w.drawn"
    return f"""
        {now_seen(schema)}
        union all
        select w.n, r.seq, r.channel, r.frame
        from unnest($1::int[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::int[])
            with ordinality as w(lane, drawn, past, seen, until, room, n)
        cross join lateral (
            (select {row} from {schema}.messages as m
             where m.lane = w.lane and m.seq > greatest(w.drawn, w.past)
               and not pg_visible_in_snapshot(m.xid, w.seen::pg_snapshot) and {visible}
             order by m.seq limit w.room)
            union all
            (select {row} from {schema}.messages as m
             where w.past < w.drawn and m.lane = w.lane and m.xid = any(array(select pg_snapshot_xip(w.seen::pg_snapshot)))
               and {late} and {visible}
             order by m.seq + 0 limit w.room)
            union all
            (select {row} from {schema}.messages as m
             where w.past < w.drawn and m.lane = w.lane and m.xid >= pg_snapshot_xmax(w.seen::pg_snapshot)
               and {late} and {visible}
             order by m.seq + 0 limit w.room)
            order by seq limit w.room
        ) as r
    """


class LaneReader:
    """Asks on one connection."""

    def __init__(self, schema: str) -> None:
        self._question = question(schema)
        self._now = now_seen(schema)
        self._drawn = 0
        """Read before any question that is asked from now on."""

    async def glance(self, connection: Any) -> Seen:
        """What is visible now: nearly nothing to ask."""
        return self._seen(await connection.fetchrow(self._now))

    async def read(self, connection: Any, wants: Sequence[tuple[int, Lane, int]]) -> list[Found]:
        """For each (number of the lane, lane, room) its next rows. Steps begin with what this question sees."""
        places = [lane.place for _, lane, _ in wants]
        rows = await connection.fetch(
            self._question,
            [number for number, _, _ in wants],
            [place.seen.drawn for place in places],
            [place.past for place in places],
            [place.seen.snapshot.text for place in places],
            [None if place.until is None else place.until.snapshot.text for place in places],
            [room for _, _, room in wants],
        )
        by_want: list[list[Any]] = [[] for _ in range(len(wants) + 1)]
        for row in rows:
            by_want[row[0]].append(row)
        now = self._seen(by_want[0][0])
        found: list[Found] = []
        for (number, lane, room), ours in zip(wants, by_want[1:], strict=True):
            ours.sort(key=_number)
            step = lane.took(now, [row[1] for row in ours], room)
            found += [Found(number, row[1], row[2], row[3], step) for row in ours]
        return found

    def _seen(self, row: Any) -> Seen:
        seen = Seen(Snapshot.parse(row[3].decode()), self._drawn)
        self._drawn = row[1]
        return seen


def _number(row: Any) -> int:
    return row[1]  # type: ignore[no-any-return]
