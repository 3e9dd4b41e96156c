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


class Want(msgspec.Struct, frozen=True, gc=False):
    """Up to `room` rows of a lane."""

    number: int
    lane: Lane
    room: int


def now_seen(schema: str) -> str:
    """What this statement sees, and the last number that was drawn when it ran: numbers are drawn after the snapshot was taken,
    so this one belongs to the snapshot that is taken next. And whether any row is there of the lanes from $1 to $2."""
    anything = f"(exists (select 1 from {schema}.messages where lane between $1 and $2))::int"
    return f"select 0::bigint as n, last_value as seq, {anything} as channel, convert_to(pg_current_snapshot()::text, 'UTF8') as frame from {schema}.seq"


def question(schema: str) -> str:
    """$3 lanes, $4 drawn before, $5 past, $6 seen, $7 until (or null), $8 room: for each lane its next rows, in the order of
    their numbers within a step; and first what the question sees.

    The first branch reads by number. The others find rows whose numbers were drawn before the lane was last seen, by
    transactions that were open then: those that the snapshot names, and those above all that had ended (`xmax` is no more
    than that: they may have run for long). They stand before all others in their step, so that they are looked for only in
    its beginning."""
    row = "m.seq, m.channel, m.frame"
    visible = "(w.until is null or pg_visible_in_snapshot(m.xid, w.until))"
    # A sum is no column: the planner shall go by transaction, where there are few, and not by number, where there are many.
    late = "m.seq + 0 > w.past and m.seq + 0 <= w.drawn"
    return f"""
        {now_seen(schema)}
        union all
        select w.n, r.seq, r.channel, r.frame
        from unnest($3::int[], $4::bigint[], $5::bigint[], $6::text[]::pg_snapshot[], $7::text[]::pg_snapshot[], $8::int[])
            with ordinality as w(lane, drawn, past, seen, until, room, n)
        cross join lateral (
            (select {row} from {schema}.messages as m
             where m.lane = w.lane and m.seq > greatest(w.drawn, w.past)
               and not pg_visible_in_snapshot(m.xid, w.seen) and {visible}
             order by m.seq limit w.room)
            union all
            (select {row} from {schema}.messages as m
             where w.past < w.drawn and m.lane = w.lane and m.xid = any(array(select pg_snapshot_xip(w.seen)))
               and {late} and {visible}
             order by m.seq + 0 limit w.room)
            union all
            (select {row} from {schema}.messages as m
             where w.past < w.drawn and m.lane = w.lane and m.xid >= pg_snapshot_xmax(w.seen)
               and {late} and {visible}
             order by m.seq + 0 limit w.room)
            order by seq limit w.room
        ) as r
    """


class Answer(msgspec.Struct, frozen=True):
    """What a question saw: whether any row is in the lanes that it watches; and rows of each want."""

    now: Seen
    watched: bool
    rows: Sequence[Sequence[Any]]

    def take(self, wants: Sequence[Want], most: int) -> tuple[list[Found], list[bool]]:
        """Moves the lanes on, until there are `most` rows; the rows, and for each want whether it has no more now."""
        found: list[Found] = []
        ended: list[bool] = []
        for want, rows in zip(wants, self.rows, strict=True):
            taken = rows[: most - len(found)]
            over = len(rows) < want.room and len(taken) == len(rows)
            ended.append(over)
            if taken or over:
                step = want.lane.took(self.now, [row[1] for row in taken], over)
                found += [Found(want.number, row[1], row[2], row[3], step) for row in taken]
        return found, ended


class LaneReader:
    """Asks. `watched` are lanes, from one to another, of which each answer tells whether anything is in them."""

    def __init__(self, schema: str, watched: tuple[int, int] = (1, 0)) -> None:
        self._question = question(schema)
        self._now = now_seen(schema)
        self._watched = watched
        self.drawn: int = 0
        """The last number that was drawn when the last question ran."""

    async def glance(self, connection: Any) -> Seen:
        """What is visible now: nearly nothing to ask."""
        return self._seen(await connection.fetchrow(self._now, *self._watched))

    async def ask(self, connection: Any, wants: Sequence[Want]) -> Answer:
        """Steps begin with what this question sees."""
        places = [want.lane.place for want in wants]
        rows = await connection.fetch(
            self._question,
            *self._watched,
            [want.number for want in wants],
            [place.seen.drawn for place in places],
            [place.past for place in places],
            [place.seen.snapshot.text for place in places],
            [None if place.until is None else place.until.snapshot.text for place in places],
            [want.room for want in wants],
        )
        by_want: list[list[Any]] = [[] for _ in range(len(wants) + 1)]
        for row in rows:
            by_want[row[0]].append(row)
        for ours in by_want:
            ours.sort(key=_number)
        ((head,), *others) = by_want
        return Answer(self._seen(head), bool(head[2]), others)

    def _seen(self, row: Any) -> Seen:
        seen = Seen(Snapshot.parse(row[3].decode()), self.drawn)
        self.drawn = row[1]
        return seen


def _number(row: Any) -> int:
    return row[1]  # type: ignore[no-any-return]
