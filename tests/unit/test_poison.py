"""A message that ends its process each time is told from its neighbours, and they are not convicted with it."""

import asyncio

from tests.unit.scene import Scene

from catga import Catga, Command
from catga.clock import sleep
from catga.delivery.delivery import Receipt
from catga.testing import run


class Work(Command):
    number: int


GUILTY = 3
ENDLESS = 12
"""Crashes after which it will not be found out any more."""


def test_it_is_parked_after_three_crashes_alone_and_the_others_are_handled_once() -> None:
    done: list[int] = []
    deaths: list[list[int]] = []

    async def main() -> None:
        scene = Scene()

        def make(died: asyncio.Event) -> Catga:
            app = scene.app()
            begun: list[int] = []

            @app.handler(Work)
            async def work(cmd: Work) -> None:
                begun.append(cmd.number)
                if cmd.number == GUILTY:
                    deaths.append([number for number in begun if number not in done])
                    died.set()
                # Whoever runs beside it when the process ends has not ended either.
                await sleep(scene.clock, 1.0)
                begun.remove(cmd.number)
                done.append(cmd.number)

            return app

        receipts: list[Receipt] = []
        while len(deaths) < ENDLESS:
            died = asyncio.Event()
            app = make(died)
            before = await scene.start(app)
            if not receipts:
                receipts = await scene.run(app.enqueue_many([Work(number) for number in range(8)]))
            ended = [asyncio.ensure_future(died.wait()), asyncio.ensure_future(app.settled())]
            await scene.run(asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED))
            if ended[1].done():
                break
            await scene.crash(before)
        await scene.run(app.stop())
        (letter,) = await scene.dead()
        assert letter.id.hex() == receipts[GUILTY].id
        assert "ended each time it worked on this message alone" in letter.reason

    run(main())
    # Twice beside others, which says nothing of anybody, and three times alone.
    assert len(deaths) == 5
    assert deaths[2:] == [[GUILTY]] * 3
    assert sorted(done) == [number for number in range(8) if number != GUILTY]
