"""The full pipeline: validation, timeout, retry, idempotency, metrics and a tracing gate, beside a task and a peer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import cycle, islice
from typing import Any

import stamina
import tenacity
from aiobreaker import CircuitBreaker
from aiolimiter import AsyncLimiter

from benches.mediator import COUNT, ROUNDS, app_with, sending
from benches.peers import cqrs_mediator, cqrs_stacked
from benches.runner import Group, Row
from catga import Command, Context
from catga.middleware import Idempotency, Logging, Metrics, Retry, Timeout, Tracing, Validation


class Order(Command[int]):
    """Three fields, as a small command has."""

    order: str
    customer: str
    amount: int


async def place(command: Order, ctx: Context) -> int:
    """Reads one field."""
    return command.amount


LAYERS: dict[str, Callable[[], Any]] = {
    "Tracing at 1 %": lambda: Tracing(lambda span: None, rate=0.01),
    "Metrics": Metrics,
    "Validation": Validation,
    "Idempotency, all new": lambda: Idempotency(lambda order: order.order, size=1000),
    "Retry": lambda: Retry(2, on=(ValueError,)),
    "Timeout": lambda: Timeout(5),
}
# More than Idempotency keeps: each is new to it, is handled, kept, and drives out the oldest.
ORDERS = [Order(f"o-{number}", "ann", 1) for number in range(3000)]


def sending_all(send: Callable[[Any], Awaitable[Any]], messages: Sequence[Any]) -> Callable[[int], Awaitable[None]]:
    """As `sending`, one message after another."""
    following = cycle(messages)

    async def timed(count: int) -> None:
        for message in islice(following, count):
            await send(message)

    return timed


def tasks(message: Order) -> Callable[[int], Awaitable[None]]:
    """What a library that makes a task for each message pays for that alone."""

    async def timed(count: int) -> None:
        for _ in range(count):
            await asyncio.create_task(place(message, None))  # type: ignore[arg-type]

    return timed


@asynccontextmanager
async def full_rows() -> AsyncIterator[Sequence[Row]]:
    """Everything at once."""
    app = app_with({Order: place}, tuple(make() for make in LAYERS.values()))
    again = app_with({Order: place}, tuple(make() for make in LAYERS.values()))
    async with app, again, cqrs_mediator(0) as bare, cqrs_stacked() as stacked:
        await again.send(ORDERS[0])
        yield [
            Row("catga, full pipeline", sending_all(app.send, ORDERS), COUNT),
            Row("catga, full pipeline, duplicates", sending(again.send, ORDERS[0]), COUNT),
            Row("one asyncio task", tasks(ORDERS[0]), COUNT),
            Row("python-cqrs, nothing stacked", sending(*bare), COUNT // 10),
            Row("python-cqrs, stamina, asyncio.timeout", sending(*stacked), COUNT // 50),
        ]


@asynccontextmanager
async def layer_rows() -> AsyncIterator[Sequence[Row]]:
    """One middleware at a time, beside what people put in its place."""
    apps = {name: app_with({Order: place}, (make(),)) for name, make in LAYERS.items()}
    apps["Logging"] = app_with({Order: place}, (Logging(),))
    none = app_with({Order: place})
    breaker, limiter = CircuitBreaker(), AsyncLimiter(1e9, 1)
    retrying = tenacity.retry(stop=tenacity.stop_after_attempt(3), reraise=True)(place)
    stamina_retrying = stamina.retry(on=ValueError, attempts=3)(place)

    async def limited(message: Order) -> int:
        async with asyncio.timeout(5):
            return await place(message, None)  # type: ignore[arg-type]

    async def breaking(message: Order) -> Any:
        return await breaker.call_async(place, message, None)

    async def limiting(message: Order) -> int:
        async with limiter:
            return await place(message, None)  # type: ignore[arg-type]

    await none.start()
    for app in apps.values():
        await app.start()
    yield [
        Row("catga, Context, no middleware", sending_all(none.send, ORDERS), COUNT),
        *(Row(f"catga, {name}", sending_all(app.send, ORDERS), COUNT) for name, app in apps.items()),
        Row("asyncio.timeout", sending(limited, ORDERS[0]), COUNT // 10),
        Row("tenacity", sending(lambda message: retrying(message, None), ORDERS[0]), COUNT // 50),
        Row("stamina", sending(lambda message: stamina_retrying(message, None), ORDERS[0]), COUNT // 50),
        Row("aiobreaker", sending(breaking, ORDERS[0]), COUNT // 10),
        Row("aiolimiter", sending(limiting, ORDERS[0]), COUNT // 10),
    ]
    for app in (none, *apps.values()):
        await app.stop()


GROUPS = [
    Group("full pipeline", full_rows, rounds=ROUNDS),
    Group("one middleware", layer_rows),
]
