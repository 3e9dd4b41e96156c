"""The flights app: its handlers and its tables."""

import sqlite3
from collections import Counter

from catga import Batch, Catga, Context, Transaction
from flights.messages import FlightCancelled, FlightDelayed, FlightDeparted, RebookPassengers, RecordDeparture

TABLES = """
create table if not exists departures (number integer, flight text, carrier text, tail text, origin text, dest text, scheduled text, delay integer);
create table if not exists rebookings (number integer, flight text);
create table if not exists carriers (carrier text primary key, departed integer default 0, delayed integer default 0, minutes integer default 0, cancelled integer default 0);
"""


def make_app(store: str) -> Catga:
    """The app on a store; its queue is in the same file, so that several processes share the work."""
    app = Catga("flights", store=store, transport=store)

    @app.handler(RecordDeparture, id="record")
    async def record(cmd: RecordDeparture, ctx: Context, tx: Transaction) -> None:
        tx.execute(
            "insert into departures values (?, ?, ?, ?, ?, ?, ?, ?)",
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
        add_to_carrier(tx, event.carrier, "cancelled", 1)
        ctx.enqueue(RebookPassengers(event.number, event.flight))

    @app.handler(RebookPassengers, id="rebook")
    async def rebook(cmd: RebookPassengers, tx: Transaction) -> None:
        tx.execute("insert into rebookings values (?, ?)", cmd.number, cmd.flight)

    @app.handler(FlightDeparted, id="count-departed", batch=Batch(size=500, wait=0.2))
    async def count_departed(events: list[FlightDeparted], tx: Transaction) -> None:
        for carrier, count in Counter(event.carrier for event in events).items():
            add_to_carrier(tx, carrier, "departed", count)

    @app.handler(FlightDelayed, id="count-delayed", batch=Batch(size=500, wait=0.2))
    async def count_delayed(events: list[FlightDelayed], tx: Transaction) -> None:
        minutes: Counter[str] = Counter()
        for event in events:
            minutes[event.carrier] += event.minutes
        for carrier, count in Counter(event.carrier for event in events).items():
            add_to_carrier(tx, carrier, "delayed", count)
            add_to_carrier(tx, carrier, "minutes", minutes[carrier])

    return app


def add_to_carrier(tx: Transaction, carrier: str, column: str, amount: int) -> None:
    """Adds to one of a carrier's figures."""
    tx.execute(
        f"insert into carriers (carrier, {column}) values (?, ?) on conflict (carrier) do update set {column} = {column} + excluded.{column}",
        carrier,
        amount,
    )


def make_tables(path: str) -> None:
    """The app's own tables, before anything runs."""
    connection = sqlite3.connect(path)
    connection.executescript(TABLES)
    connection.close()
