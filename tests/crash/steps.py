"""The app whose workers are killed: steps of many keys, some of which fail before they succeed, and a batch handler."""

from catga import Batch, Catga, Command, Context, Event, Retry, Transaction

TABLES = """
create table effects (seq integer primary key autoincrement, key text, number integer, worker text);
create table echoes (seq integer primary key autoincrement, key text, number integer, worker text);
"""
STUBBORN = 23
"""Every so many messages, one fails the first time and waits for a delayed retry; its key's later ones wait behind it."""


class Step(Command, key="key"):
    key: str
    number: int


class Stepped(Event, key="key"):
    key: str
    number: int


def make_app(store: str, worker: str) -> Catga:
    app = Catga("steps", store=store, transport=store, retry=Retry(delayed=50, first=0.05, most=0.2), stop_within=10)

    @app.handler(Step, id="step")
    async def step(cmd: Step, ctx: Context, tx: Transaction) -> None:
        if cmd.number % STUBBORN == 7 and ctx.attempt == 1:
            raise ValueError("not the first time")
        tx.execute("insert into effects (key, number, worker) values (?, ?, ?)", cmd.key, cmd.number, worker)
        ctx.publish(Stepped(cmd.key, cmd.number))

    @app.handler(Stepped, id="echo", batch=Batch(size=50, wait=0.02))
    async def echo(events: list[Stepped], tx: Transaction) -> None:
        for event in events:
            tx.execute("insert into echoes (key, number, worker) values (?, ?, ?)", event.key, event.number, worker)

    return app
