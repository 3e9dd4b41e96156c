"""`python -m tests.integration.stalled STORE TRANSPORT SECONDS`: an app whose handler never ends; prints by how many MiB its
process grew, and how many messages its handler was given."""

import asyncio
import os
import sys
from pathlib import Path

from catga import Catga, Command

PAGE = os.sysconf("SC_PAGE_SIZE")


class Order(Command, key="customer"):
    customer: str
    note: str


def resident() -> int:
    """Bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


async def stall(store: str, transport: str, seconds: float) -> tuple[float, int]:
    """Starts, waits, and ends without a word."""
    begun = 0
    app = Catga("stalled", store=store, transport=transport)

    @app.handler(Order, id="order")
    async def order(command: Order) -> None:
        nonlocal begun
        begun += 1
        await asyncio.Event().wait()

    before = resident()
    await app.start()
    most = before
    for _ in range(round(seconds / 0.1)):
        await asyncio.sleep(0.1)
        most = max(most, resident())
    return (most - before) / 2**20, begun


if __name__ == "__main__":
    _store, _transport, _seconds = sys.argv[1:]
    print(*asyncio.run(stall(_store, _transport, float(_seconds))), flush=True)
    os._exit(0)
