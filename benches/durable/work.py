"""What every row carries, and how a consumer's rate is taken: from the first message handled to the last one's end."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from time import perf_counter_ns

import msgspec

from catga import Catga, Command, Event
from catga.clock import SystemClock
from catga.envelope import Codec
from catga.ports import Outgoing

BATCH = 500
ids: Iterator[bytes] = (number.to_bytes(16, "big") for number in itertools.count())
"""Of messages: what came before under one's id is not taken again."""
names: Iterator[str] = (f"bench{number}" for number in itertools.count())
"""Of apps, channels and streams: no round sees what another left."""


class Order(Command, key="customer"):
    """As an order is: about 120 bytes."""

    order: str
    customer: str
    sku: str
    amount: int
    note: str


class Price(Event):
    """The same size, told live."""

    order: str
    customer: str
    sku: str
    amount: int
    note: str


def prices(count: int) -> list[Price]:
    """As `orders`."""
    return [Price(*(getattr(order, name) for name in Price.__struct_fields__)) for order in orders(count)]


def orders(count: int) -> list[Order]:
    """Of a thousand customers."""
    return [
        Order(f"order-{n:08}", f"customer-{n % 1000}", "SKU-10472", n, "leave it with the neighbour, please")
        for n in range(count)
    ]


def outgoing(name: str, messages: list[Order]) -> list[Outgoing]:
    """As an app of that name puts them into its outbox."""
    codec = Codec([Order], name, {})
    now = SystemClock().wall_ms()
    return [codec.encode(message, next(ids), now) for message in messages]


class Meter:
    """Counts what was handled."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._first = 0
        self._handled = 0
        self.all = asyncio.Event()

    def tick(self, messages: int = 1) -> None:
        """So many more."""
        if not self._first:
            self._first = perf_counter_ns()
        self._handled += messages
        if self._handled >= self._count:
            self.all.set()

    def per_message(self) -> float:
        """Microseconds since the first one."""
        return (perf_counter_ns() - self._first) / 1e3 / self._count


def packed(messages: Sequence[Order | Price]) -> list[bytes]:
    """Payloads alone."""
    encode = msgspec.msgpack.Encoder().encode
    return [encode(message) for message in messages]


decode: Callable[[bytes], Order] = msgspec.msgpack.Decoder(Order).decode
decode_price: Callable[[bytes], Price] = msgspec.msgpack.Decoder(Price).decode


async def consumed(app: Catga, count: int) -> float:
    """Microseconds a message takes an app that has `count` of them waiting, its last commit included."""
    meter = Meter(count)

    @app.handler(Order, id="order")
    async def order(command: Order) -> None:
        meter.tick()

    await app.start()
    await meter.all.wait()
    while app.statistics()["done"] < count:  # noqa: ASYNC110 - a count, not an event
        await asyncio.sleep(0.001)
    taken = meter.per_message()
    await app.stop()
    return taken


async def peer_consumed(count: int, start: Callable[[Meter], Awaitable[Callable[[], Awaitable[None]]]]) -> float:
    """The same for a peer; `start` gives what stops it."""
    meter = Meter(count)
    stop = await start(meter)
    await meter.all.wait()
    taken = meter.per_message()
    await stop()
    return taken
