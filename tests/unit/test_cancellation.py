"""Only a cancellation that the app asked for is neutral: a handler whose own task was cancelled has failed."""

import asyncio

from tests.unit.scene import Scene

from catga import Batch, Catga, Command, Context, Event, Retry
from catga.delivery.failures import history_of
from catga.testing import run

ENDLESS = 20
"""Tries after which nobody waits for an end any more."""


class Work(Command, key="key"):
    key: str


class Heard(Event):
    number: int


async def cancelled_inside() -> None:
    inner = asyncio.ensure_future(asyncio.sleep(0))
    inner.cancel()
    await inner


def test_a_handler_that_is_cancelled_by_itself_fails_and_ends_as_a_dead_letter() -> None:
    attempts: list[int] = []
    done: list[str] = []

    async def main() -> None:
        scene = Scene()
        app = scene.app(retry=Retry(delayed=2))

        @app.handler(Work)
        async def work(cmd: Work, ctx: Context) -> None:
            if cmd.key == "good":
                done.append(cmd.key)
                return
            attempts.append(ctx.attempt)
            assert len(attempts) < ENDLESS
            await cancelled_inside()

        async with scene.running(app):
            await scene.run(app.enqueue_many([Work("bad"), Work("good")]))
            await scene.run(app.settled())
            assert app.statistics()["done"] == 1
        (letter,) = await scene.dead()
        assert letter.failures == 3
        assert "HandlerCancelled" in letter.reason
        assert [failure.type for failure in history_of(letter)] == ["catga.errors.HandlerCancelled"] * 3

    run(main())
    assert attempts == [1, 2, 3]
    assert done == ["good"]


def test_without_a_store_the_queue_goes_on_after_it() -> None:
    done: list[int] = []

    async def main() -> None:
        app = Catga("local")

        @app.handler(Work)
        async def work(cmd: Work) -> None:
            done.append(len(done))
            if len(done) == 1:
                await cancelled_inside()

        async with app:
            await app.enqueue_many([Work("a")] * 3)
            await app.settled()

    run(main())
    assert done == [0, 1, 2]


def test_a_batch_handler_that_is_cancelled_by_itself_fails_too() -> None:
    sizes: list[int] = []

    async def main() -> None:
        scene = Scene()
        app = scene.app(retry=Retry(delayed=0))

        @app.handler(Heard, batch=Batch(size=4, wait=1.0))
        async def hear(events: list[Heard]) -> None:
            sizes.append(len(events))
            assert len(sizes) < ENDLESS
            if any(event.number == 2 for event in events):
                await cancelled_inside()

        async with scene.running(app):
            for number in range(4):
                await scene.run(app.publish(Heard(number)))
            await scene.run(app.settled())
            assert app.statistics()["done"] == 3
        (letter,) = await scene.dead()
        assert "HandlerCancelled" in letter.reason

    run(main())
