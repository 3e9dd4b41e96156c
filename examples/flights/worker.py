"""One worker of `make demo-crash`: takes work until somebody stops it, or kills it."""

import asyncio
import mmap
import signal
import struct
import sys
from pathlib import Path

from flights.app import make_app

SLOT = struct.Struct("<qqq")
"""What a worker says of itself in the shared file: claims open now, messages done, messages that came again."""


async def work(store: str, board: mmap.mmap, index: int) -> None:
    """Runs the app; says every 2 ms how many claims are open."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    app = make_app(store)
    async with app:
        while not stopped.is_set():
            statistics = app.statistics()
            SLOT.pack_into(
                board,
                index * SLOT.size,
                statistics["channels"]["flights"]["open"],
                statistics["done"],
                statistics["redelivered"],
            )
            await asyncio.sleep(0.002)


def main() -> None:
    """`python -m flights.worker STORE BOARD INDEX`."""
    store, path, index = sys.argv[1:]
    with Path(path).open("r+b") as file, mmap.mmap(file.fileno(), 0) as board:
        asyncio.run(work(store, board, int(index)))


if __name__ == "__main__":
    main()
