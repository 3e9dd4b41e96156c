"""The flights app: its handlers and its tables."""

import itertools
import re
import sqlite3
from collections import Counter
from collections.abc import Callable

from catga import Batch, Catga, Context, Transaction
from flights.messages import FlightCancelled, FlightDelayed, FlightDeparted, RebookPassengers, RecordDeparture

MESSAGES = (RecordDeparture, FlightDeparted, FlightDelayed, FlightCancelled, RebookPassengers)
TABLES = """
create table if not exists departures (number integer, flight text, carrier text, tail text, origin text, dest text, scheduled text, delay integer);
create table if not exists rebookings (number integer, flight text);
create table if not exists carriers (carrier text, departed integer, delayed integer, minutes integer, cancelled integer);
"""


def make_app(store: str, transport: str | None = None, *, handlers: bool = True) -> Catga:
    """The app on a store; without a broker its queue is in the same database, so that several processes share the work."""
    app = Catga("flights", messages=MESSAGES, store=store, transport=transport or store)
    if handlers:
        add_handlers(app, insert=placed if store.startswith("postgres") else str)
    return app


def add_handlers(app: Catga, insert: Callable[[str], str]) -> None:
    """What is done about flights; `insert` writes the placeholders as the database's driver wants them."""
    departure = insert("insert into departures values (?, ?, ?, ?, ?, ?, ?, ?)")
    rebooking = insert("insert into rebookings values (?, ?)")
    # Rows that are summed when they are read: workers that add to one row would wait for each other.
    figures = insert("insert into carriers values (?, ?, ?, ?, ?)")

    @app.handler(RecordDeparture, id="record")
    async def record(cmd: RecordDeparture, ctx: Context, tx: Transaction) -> None:
        tx.execute(
            departure,
            cmd.number,
            cmd.flight,
            cmd.carrier,
            cmd.tail,
            cmd.origin,
            cmd.dest,
            cmd.scheduled,
            cmd.delay,
        )
        if cmd.delay is None:
            ctx.publish(FlightCancelled(cmd.number, cmd.flight, cmd.carrier))
        elif cmd.delay > 0:
            ctx.publish(FlightDelayed(cmd.number, cmd.flight, cmd.carrier, cmd.delay))
        else:
            ctx.publish(FlightDeparted(cmd.number, cmd.flight, cmd.carrier))

    @app.handler(FlightCancelled, id="cancel")
    async def cancel(event: FlightCancelled, ctx: Context, tx: Transaction) -> None:
        tx.execute(figures, event.carrier, 0, 0, 0, 1)
        ctx.enqueue(RebookPassengers(event.number, event.flight))

    @app.handler(RebookPassengers, id="rebook")
    async def rebook(cmd: RebookPassengers, tx: Transaction) -> None:
        tx.execute(rebooking, cmd.number, cmd.flight)

    @app.handler(FlightDeparted, id="count-departed", batch=Batch(size=500, wait=0.2))
    async def count_departed(events: list[FlightDeparted], tx: Transaction) -> None:
        for carrier, count in Counter(event.carrier for event in events).items():
            tx.execute(figures, carrier, count, 0, 0, 0)

    @app.handler(FlightDelayed, id="count-delayed", batch=Batch(size=500, wait=0.2))
    async def count_delayed(events: list[FlightDelayed], tx: Transaction) -> None:
        minutes: Counter[str] = Counter()
        for event in events:
            minutes[event.carrier] += event.minutes
        for carrier, count in Counter(event.carrier for event in events).items():
            tx.execute(figures, carrier, 0, count, minutes[carrier], 0)


def placed(sql: str) -> str:
    """With numbered placeholders: PostgreSQL's."""
    number = itertools.count(1)
    return re.sub(r"\?", lambda _: f"${next(number)}", sql)


def make_tables(path: str) -> None:
    """The app's own tables, before anything runs."""
    connection = sqlite3.connect(path)
    connection.executescript(TABLES)
    connection.close()
