"""`iterate` gives the values a stream query declares."""

from collections.abc import AsyncIterator
from typing import assert_type

from catga import Catga, StreamQuery


class Orders(StreamQuery[str]):
    customer: str


app = Catga("types")


@app.handler(Orders)
async def orders(query: Orders) -> AsyncIterator[str]:
    yield query.customer


@app.handler(Orders)  # error
async def wrong(query: Orders) -> AsyncIterator[int]:
    yield 1


async def read() -> None:
    assert_type(app.iterate(Orders("ann")), AsyncIterator[str])
    async for order in app.iterate(Orders("ann")):
        assert_type(order, str)
