"""Run it from `examples/`:

catga run orders.app:app --workers 2
catga send PlaceOrder '{"customer": "ann", "items": [{"sku": "tea", "cents": 450}]}' orders.app:app
"""

import logging
from enum import StrEnum

import msgspec

from catga import Batch, Catga, Command, Context, Err, Event, Ok, Result, Transaction

log = logging.getLogger("catga.examples.orders")

TABLE = "create table if not exists orders (id text primary key, customer text not null, cents integer not null)"


class Item(msgspec.Struct, frozen=True):
    """One line of an order."""

    sku: str
    cents: int


class Refusal(StrEnum):
    """Why an order is not taken."""

    EMPTY = "empty"


class PlaceOrder(Command[Result[str, Refusal]], key="customer"):
    """Asks for an order; the reply is its id."""

    customer: str
    items: list[Item]


class OrderPlaced(Event, key="order_id"):
    """An order is in the books."""

    order_id: str
    customer: str
    cents: int


app = Catga("orders", store="sqlite:///orders.db")


@app.handler(PlaceOrder)
async def place_order(command: PlaceOrder, ctx: Context, tx: Transaction) -> Result[str, Refusal]:
    """Books the order and tells of it: both happen, or neither."""
    if not command.items:
        return Err(Refusal.EMPTY)
    order_id = ctx.new_id()
    cents = sum(item.cents for item in command.items)
    tx.execute(TABLE)
    tx.execute("insert into orders values (?, ?, ?)", order_id, command.customer, cents)
    ctx.publish(OrderPlaced(order_id, command.customer, cents))
    return Ok(order_id)


@app.handler(OrderPlaced, batch=Batch(size=100, wait=0.5))
async def mail(events: list[OrderPlaced]) -> None:
    """One mail run for many orders."""
    for event in events:
        log.info("to %s: order %s, %.2f in total", event.customer, event.order_id, event.cents / 100)
