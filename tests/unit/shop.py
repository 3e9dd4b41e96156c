"""An app for tests: something of each kind, with a store."""

from collections.abc import AsyncIterator
from typing import Any

from catga import (
    Batch,
    Catga,
    Command,
    Context,
    Err,
    Event,
    Ok,
    Query,
    Result,
    Retry,
    Router,
    StreamQuery,
    Transaction,
)


class Add(Command[int], key="cart", aliases=("Insert",)):
    cart: str
    count: int = 1


class Buy(Command[Result[str, str]], key="cart", priority=1, channel="urgent"):
    cart: str


class Bought(Event, name="shop.bought", version=2):
    cart: str


class Count(Query[int]):
    cart: str


class Each(StreamQuery[int]):
    upto: int


async def audit(message: Any, ctx: Context, next: Any) -> Any:
    return await next(message, ctx)


async def inner(message: Any, ctx: Context, next: Any) -> Any:
    return await next(message, ctx)


def shop(store: Any = None, **options: Any) -> Catga:
    """A new app every time: two of them share nothing."""
    app = Catga("shop", store=store, middleware=(audit,), **options)
    router = Router(middleware=(inner,))

    @app.handler(Add)
    async def add(cmd: Add) -> int:
        return cmd.count

    @router.handler(
        Bought, id="mails", retry=Retry(immediate=2, delayed=3, first=0.5, on=(ValueError,)), when_dead="block"
    )
    async def mail(event: Bought) -> None: ...

    @app.handler(Bought, id="stock", batch=Batch(size=50, wait=2.0))
    async def stock(events: list[Bought]) -> None: ...

    @app.handler(Count)
    async def count(query: Count) -> int:
        if query.cart == "broken":
            raise ValueError("no such cart")
        return len(query.cart)

    @app.handler(Each)
    async def each(query: Each) -> AsyncIterator[int]:
        for number in range(query.upto):
            yield number

    app.upcast(Bought, 1)(lambda fields: fields)
    app.include(router)
    if store is not None:

        @app.handler(Buy)
        async def buy(cmd: Buy, ctx: Context, tx: Transaction) -> Result[str, str]:
            if not cmd.cart:
                return Err("empty")
            ctx.publish(Bought(cmd.cart))
            return Ok(cmd.cart)

    return app
