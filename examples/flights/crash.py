"""`make demo-crash`: several workers, killed with SIGKILL again and again, and nothing lost and nothing done twice.

This process is the supervisor. It is never killed: it asks for every departure, keeps the ledger of what was
acknowledged, and kills.
"""

import argparse
import asyncio
import mmap
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flights.account import account, asker, straight
from flights.app import make_app, make_tables
from flights.data import departures
from flights.messages import RecordDeparture
from flights.show import advance, console, progress, report
from flights.worker import SLOT

CHUNK = 500
LEASE = 1.0
"""Seconds until the parts of a dead worker go to the others."""


class Workers:
    """The processes, and the board on which each says what it has open."""

    def __init__(self, count: int, store: str, folder: Path) -> None:
        self._store = store
        self._path = folder / "board"
        self._path.write_bytes(bytes(SLOT.size * count))
        self._file = self._path.open("r+b")
        self._board = mmap.mmap(self._file.fileno(), 0)
        self._redelivered = 0
        self.kills: list[int] = []
        self._processes = [self._spawn(index) for index in range(count)]

    def state(self, index: int) -> tuple[int, int, int]:
        """(open, done, redelivered) as the worker last said."""
        return SLOT.unpack_from(self._board, index * SLOT.size)

    def busy(self) -> list[int]:
        """Workers that have claims open."""
        return [index for index in range(len(self._processes)) if self.state(index)[0]]

    def kill(self, index: int) -> None:
        """SIGKILL, and a new one in its place; keeps how many claims were open."""
        process = self._processes[index]
        process.send_signal(signal.SIGSTOP)
        open_claims, _, redelivered = self.state(index)
        process.kill()
        process.wait()
        self.kills.append(open_claims)
        self._redelivered += redelivered
        SLOT.pack_into(self._board, index * SLOT.size, 0, 0, 0)
        self._processes[index] = self._spawn(index)

    def redelivered(self) -> int:
        """Messages that came again, over all workers that ever lived."""
        return self._redelivered + sum(self.state(index)[2] for index in range(len(self._processes)))

    def stop(self) -> list[int]:
        """SIGTERM to all; their exit codes."""
        for process in self._processes:
            process.terminate()
        return [process.wait(60) for process in self._processes]

    def _spawn(self, index: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "flights.worker", self._store, str(self._path), str(index)])


async def run(path: str, folder: Path, data: list[RecordDeparture], workers: int, kills: int, seed: int) -> int:
    """The whole year beside the killing; the exit status."""
    chance = random.Random(seed)
    make_tables(path)
    store = f"sqlite:///{path}?lease={LEASE}"
    crew = Workers(workers, store, folder)
    acknowledged: set[int] = set()
    app = make_app(store)
    await app.start(work=False)
    with progress() as bar:
        task = bar.add_task("departures recorded", total=len(data), rate=0, p50="-", p99="-")
        started = time.perf_counter()

        async def ask() -> None:
            for start in range(0, len(data), CHUNK):
                chunk = data[start : start + CHUNK]
                await app.enqueue_many(chunk)
                acknowledged.update(departure.number for departure in chunk)
                # Spread over the killing, so that there is work under way at every kill.
                while len(crew.kills) < kills and len(acknowledged) > len(data) * (len(crew.kills) + 2) / (kills + 2):  # noqa: ASYNC110 - other processes count
                    await asyncio.sleep(0.01)

        async def murder() -> None:
            for _ in range(kills):
                await asyncio.sleep(chance.uniform(0.3, 1.2))
                crew.kill(chance.choice(crew.busy() or range(workers)))

        async def watch() -> None:
            while True:
                (recorded,) = (await app.fetch("select count(*) from departures"))[0]
                advance(bar, task, recorded, time.perf_counter() - started, {"latency_p50_ms": 0, "latency_p99_ms": 0})
                await asyncio.sleep(0.5)

        watcher = asyncio.create_task(watch())
        await asyncio.gather(ask(), murder())
        await app.settled()
        watcher.cancel()
    codes = crew.stop()
    await app.stop()
    result = account(asker(path), len(data), acknowledged, crew.redelivered(), straight(data))
    status = report(result)
    hit = sum(claims > 0 for claims in crew.kills)
    console.print(
        f"{len(crew.kills)} workers killed with SIGKILL, {hit} of them ({hit / max(1, len(crew.kills)):.0%}) with claims open, {sum(crew.kills):,} claims in all; seed {seed}"
    )
    for wrong, text in (
        (hit < 0.8 * kills, "too few kills hit a worker with claims open"),
        (result.redelivered == 0, "nothing was redelivered: the kills proved nothing"),
        (any(codes), f"a worker did not stop cleanly: {codes}"),
    ):
        if wrong:
            console.print(f"[red]wrong: {text}[/red]")
            status = 1
    return status


def main() -> int:
    """Options are for short runs."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--most", type=int, help="only so many departures")
    options.add_argument("--workers", type=int, default=3)
    options.add_argument("--kills", type=int, default=24)
    options.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(1 << 32), help="replays the same moments"
    )
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = list(departures(chosen.most))
        return asyncio.run(
            run(str(Path(folder) / "flights.db"), Path(folder), data, chosen.workers, chosen.kills, chosen.seed)
        )


if __name__ == "__main__":
    raise SystemExit(main())
