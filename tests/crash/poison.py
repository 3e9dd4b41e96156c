"""`python -m tests.crash.poison STORE`: a worker whose handler kills its process when it meets the poisonous message."""

import asyncio
import os
import signal
import sys

from catga import Catga, Command, Transaction

POISON = 57


class Dose(Command, key="key"):
    key: str
    number: int


def make_app(store: str) -> Catga:
    app = Catga("doses", store=store, stop_within=10)

    @app.handler(Dose, id="take")
    async def take(cmd: Dose, tx: Transaction) -> None:
        if cmd.number == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        tx.execute("insert into effects (key, number) values (?, ?)", cmd.key, cmd.number)

    return app


async def work(store: str) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    parent = os.getppid()
    async with make_app(store):
        while not stopped.is_set() and os.getppid() == parent:  # noqa: ASYNC110 - nobody tells when a parent has gone
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
