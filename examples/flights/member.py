"""`python -m flights.member ROLE STORE BROKER [MOST]`: a process of `make demo-cluster`, a gateway, a relay or a worker.

A gateway ends when every departure is acknowledged, the others on SIGTERM. Each says what it did on its standard output: a
gateway the numbers acknowledged, chunk by chunk; the others, at the end, how many messages came to them again.
"""

import asyncio
import os
import signal
import sys

from flights.app import make_app
from flights.data import departures

CHUNK = 500


async def ask(store: str, broker: str, most: int | None) -> None:
    """Enqueues every departure: a chunk is acknowledged when the database has it."""
    app = make_app(store, broker, handlers=False)
    await app.start(work=False)
    data = list(departures(most))
    for start in range(0, len(data), CHUNK):
        chunk = data[start : start + CHUNK]
        await app.enqueue_many(chunk)
        print(*(departure.number for departure in chunk), flush=True)
    await app.stop()


async def serve(store: str, broker: str, handlers: bool) -> None:
    """Works until it is stopped; nobody may outlive the process that started it."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    parent = os.getppid()
    app = make_app(store, broker, handlers=handlers)
    async with app:
        while not stopped.is_set() and os.getppid() == parent:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
        redelivered = app.statistics()["redelivered"]
    print(redelivered, flush=True)


def main() -> None:
    """By role."""
    role, store, broker, *most = sys.argv[1:]
    if role == "gateway":
        asyncio.run(ask(store, broker, int(most[0]) if most else None))
    else:
        asyncio.run(serve(store, broker, handlers=role == "worker"))


if __name__ == "__main__":
    main()
