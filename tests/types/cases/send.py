"""`send` gives what the message's class declares."""

from typing import assert_type

from catga import Catga, Command, Context, Event, Query, Result


class OutOfStock(Command):
    sku: str


class Place(Command[Result[str, int]], key="customer"):
    customer: str


class Add(Command[int]):
    a: int
    b: int


class Stock(Query[list[str]]):
    sku: str


class Placed(Event):
    order: str


app = Catga("types")


async def replies(ctx: Context) -> None:
    assert_type(await app.send(Place("ann")), Result[str, int])
    assert_type(await app.send(Add(1, 2)), int)
    assert_type(await app.send(Stock("a")), list[str])
    assert_type(await app.send(OutOfStock("a")), None)
    assert_type(await ctx.send(Add(1, 2)), int)
    assert_type(await app.send(Add(1, 2), id="0" * 32), int)


async def mistakes() -> None:
    Add("1", 2)  # error
    Add(1)  # error
    Add(1, 2).a = 3  # error
    await app.send(Placed("1"))  # error
    await app.publish(Add(1, 2))  # error
    await app.enqueue(Stock("a"))  # error
