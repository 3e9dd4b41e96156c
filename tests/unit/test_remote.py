"""Commands and queries that another app handles, over a bus."""

import asyncio
import uuid
from enum import Enum
from typing import Any

import pytest
from tests.unit.scene import Scene

from catga import Catga, Command, Context, Err, Headers, Ok, Query, Result, Transaction
from catga.clock import sleep
from catga.errors import (
    ConfigurationError,
    DeadlineExceeded,
    NoAnswer,
    NoHandler,
    OutcomeUnknown,
    RemoteError,
)
from catga.testing import run


class Why(Enum):
    POOR = "poor"


class Charge(Command[Result[int, Why]], channel="billing"):
    cents: int


class Balance(Query[dict[str, int]], channel="billing"):
    account: str


class Order(Command[str], channel="shop"):
    cents: int


def bus() -> str:
    return f"memory://{uuid.uuid4().hex}"


class Billing:
    """Answers."""

    def __init__(self, url: str, **options: Any) -> None:
        self.app = Catga("billing", bus=url, **options)
        self.runs: list[tuple[int, str | None, str]] = []

        @self.app.handler(Charge, remote=True)
        async def charge(cmd: Charge, ctx: Context) -> Result[int, Why]:
            self.runs.append((cmd.cents, ctx.tenant, ctx.correlation_id))
            if cmd.cents == 13:
                raise LookupError("thirteen")
            return Err(Why.POOR) if cmd.cents > 100 else Ok(cmd.cents * 2)

        @self.app.handler(Balance, remote=True)
        async def balance(query: Balance) -> dict[str, int]:
            return {query.account: 7}


def test_replies_errors_as_values_and_exceptions_as_data() -> None:
    url = bus()

    async def main() -> None:
        shop = Catga("shop", bus=url, messages=(Charge, Balance))
        async with Billing(url).app, shop:
            assert await shop.send(Charge(5)) == Ok(10)
            assert await shop.send(Charge(500)) == Err(Why.POOR)
            assert await shop.send(Balance("ann")) == {"ann": 7}
            with pytest.raises(RemoteError, match="LookupError: thirteen") as caught:
                await shop.send(Charge(13))
            assert (caught.value.type, caught.value.remote_code) == ("LookupError", "")

    run(main())


def test_what_a_handler_sends_follows_its_message() -> None:
    url = bus()
    billing = Billing(url)
    shop = Catga("shop", bus=url, messages=(Charge,))

    @shop.handler(Order)
    async def order(cmd: Order, ctx: Context) -> str:
        return repr(await ctx.send(Charge(cmd.cents)))

    async def main() -> None:
        async with billing.app, shop:
            assert await shop.send(Order(5), headers=Headers(tenant="ann", correlation_id="c")) == "Ok(value=10)"

    run(main())
    assert billing.runs == [(5, "ann", "c")]


def test_nobody_there_is_no_unknown_outcome() -> None:
    async def main() -> None:
        async with Catga("shop", bus=bus(), messages=(Charge,)) as shop:
            with pytest.raises(NoAnswer):
                await shop.send(Charge(5))
            with pytest.raises(NoHandler):
                await shop.send(Balance("x"))

    run(main())


def test_a_handler_that_is_not_remote_is_not_for_others() -> None:
    url = bus()
    billing = Catga("billing", bus=url)

    @billing.handler(Charge)
    async def charge(cmd: Charge) -> Result[int, Why]:
        return Ok(1)

    async def main() -> None:
        async with billing, Catga("shop", bus=url, messages=(Charge,)) as shop:
            assert await billing.send(Charge(5)) == Ok(1)
            with pytest.raises(NoAnswer):
                await shop.send(Charge(5))

    run(main())


@pytest.mark.parametrize("within", [None, 2.0])
def test_no_answer_in_time_is_an_unknown_outcome_and_the_same_id_finds_out(within: float | None) -> None:
    url, scene = bus(), Scene()
    store = scene.store()
    billing = scene.app("billing", bus=url, store=store)
    runs: list[int] = []

    @billing.handler(Charge, remote=True)
    async def charge(cmd: Charge, ctx: Context, tx: Transaction) -> Result[int, Why]:
        runs.append(cmd.cents)
        await sleep(scene.clock, 40.0)
        return Ok(len(runs))

    shop = Catga("shop", bus=url, messages=(Charge,), clock=scene.clock)

    async def main() -> None:
        async with scene.running(billing), scene.running(shop):
            id = uuid.uuid4().hex
            before = scene.clock.monotonic()
            headers = None if within is None else Headers(within=within)
            with pytest.raises(OutcomeUnknown, match=id):
                await scene.run(shop.send(Charge(5), id=id, headers=headers))
            assert scene.clock.monotonic() - before == pytest.approx(within or 30.0, abs=0.1)
            await scene.clock.advance(60.0)
            assert await scene.run(shop.send(Charge(5), id=id)) == Ok(1)

    run(main())
    assert runs == [5]


def test_what_has_no_time_left_is_not_sent() -> None:
    url, scene = bus(), Scene()
    shop = Catga("shop", bus=url, messages=(Charge,), clock=scene.clock)

    @shop.handler(Order)
    async def order(cmd: Order, ctx: Context) -> str:
        await sleep(scene.clock, 2.0)
        return repr(await ctx.send(Charge(cmd.cents)))

    async def main() -> None:
        async with scene.running(shop):
            with pytest.raises(DeadlineExceeded):
                await scene.run(shop.send(Order(5), headers=Headers(within=1.0)))

    run(main())


def test_a_caller_that_is_cancelled_leaves_nothing() -> None:
    url = bus()
    billing = Catga("billing", bus=url)
    going = asyncio.Event()

    @billing.handler(Charge, remote=True)
    async def charge(cmd: Charge) -> Result[int, Why]:
        await going.wait()
        return Ok(cmd.cents)

    async def main() -> None:
        async with billing, Catga("shop", bus=url, messages=(Charge,)) as shop:
            asking = asyncio.ensure_future(shop.send(Charge(5)))
            await asyncio.sleep(0.01)
            asking.cancel()
            await asyncio.wait([asking])
            assert asking.cancelled()
            assert len(shop._alive().timers) == 0
            going.set()
            assert await shop.send(Charge(6)) == Ok(6)

    asyncio.run(main())


def test_mistakes_are_found_at_the_start() -> None:
    app = Catga("billing")

    @app.handler(Charge, remote=True)
    async def charge(cmd: Charge) -> Result[int, Why]:
        return Ok(1)

    with pytest.raises(ConfigurationError, match="has no bus"):
        run(app.start())


def test_both_sides_must_agree_on_the_reply() -> None:
    url = bus()

    class Other(Query[int], channel="billing", name="Balance"):
        account: str

    async def main() -> None:
        async with Billing(url).app, Catga("shop", bus=url, messages=(Other,)) as shop:
            with pytest.raises(RemoteError, match="does not decode"):
                await shop.send(Other("ann"))

    run(main())
