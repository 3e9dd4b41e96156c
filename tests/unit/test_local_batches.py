"""Batch handlers of an app without a store: nothing that was accepted is forgotten when it stops."""

import asyncio

from catga import Batch, Catga, Event


class Tick(Event):
    number: int


def test_stopping_handles_the_list_that_is_being_filled() -> None:
    app = Catga("ticks")
    handled: list[int] = []

    @app.handler(Tick, batch=Batch(size=3, wait=60))
    async def tick(events: list[Tick]) -> None:
        handled.extend(event.number for event in events)

    async def scenario() -> None:
        async with app:
            for number in range(4):
                await app.publish(Tick(number))

    asyncio.run(scenario())
    assert handled == [0, 1, 2, 3]
