"""`python -m tests.crash.worker STORE BOARD INDEX POINT PASSES`: works until it is stopped, killed, or kills itself."""

import asyncio
import mmap
import signal
import struct
import sys
import time
from pathlib import Path

from catga import Catga
from catga.backends.sqlite.database import Database
from tests.crash.points import die_at
from tests.crash.steps import make_app

SLOT = struct.Struct("<qqqq")
"""Claims open, the point it died at (0: none), longest wait for the write lock (µs), 1 once it works."""


async def work(app: Catga, board: mmap.mmap, index: int) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with app:
        while not stopped.is_set():
            open_claims = claims(app)
            _, point, longest, _ = SLOT.unpack_from(board, index * SLOT.size)
            SLOT.pack_into(board, index * SLOT.size, open_claims, point, longest, 1)
            await asyncio.sleep(0.001)


def claims(app: Catga) -> int:
    """Messages taken in and not ended."""
    if app._running is None:
        return 0
    return app.statistics()["channels"].get("steps", {"open": 0})["open"]


def main() -> None:
    store, path, index, point, passes = sys.argv[1:]
    slot = int(index) * SLOT.size
    with Path(path).open("r+b") as file, mmap.mmap(file.fileno(), 0) as board:
        begin = Database.begin

        async def timed(self: Database) -> None:
            started = time.perf_counter()
            await begin(self)
            waited = int((time.perf_counter() - started) * 1e6)
            open_claims, died, longest, works = SLOT.unpack_from(board, slot)
            SLOT.pack_into(board, slot, open_claims, died, max(longest, waited), works)

        Database.begin = timed  # type: ignore[method-assign]
        app = make_app(store, index)
        if point:
            # Said at the last moment: what it has open, and where it dies.
            die_at(
                point,
                int(passes),
                lambda: claims(app) > 0,
                lambda reached: struct.pack_into("<qq", board, slot, claims(app), reached),
            )
        asyncio.run(work(app, board, int(index)))


if __name__ == "__main__":
    main()
