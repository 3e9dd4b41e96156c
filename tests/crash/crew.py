"""The crew: worker processes, how they die, and what they said before."""

import mmap
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from tests.crash.points import POINTS
from tests.crash.worker import SLOT

ROOT = Path(__file__).parents[2]


class Crew:
    """Four workers on one file. Each is armed with a named point; some are killed at random moments instead."""

    def __init__(self, count: int, store: str, board: Path, chance: random.Random) -> None:
        self._store = store
        self._path = board
        self._path.write_bytes(bytes(SLOT.size * count))
        self._file = board.open("r+b")
        self._board = mmap.mmap(self._file.fileno(), 0)
        self._chance = chance
        self._todo: list[str] = []
        self.reached: set[str] = set()
        self.open_at_death: list[int] = []
        self.longest_wait = 0
        self._processes = [self._spawn(index) for index in range(count)]

    def kill_some(self, deaths: int, patience: float) -> None:
        """Waits until so many have died at their points or have been killed at a random moment; replaces them."""
        deadline = time.monotonic() + patience
        killed = 0
        moment = time.monotonic() + self._chance.uniform(0.2, 1.0)
        while killed < deaths:
            for index, process in enumerate(self._processes):
                if process.poll() is not None:
                    killed += self._bury(index)
            now = time.monotonic()
            if now > deadline or now > moment:
                busy = [index for index in range(len(self._processes)) if self._state(index)[0]]
                if busy:
                    victim = self._processes[self._chance.choice(busy)]
                    victim.send_signal(signal.SIGSTOP)
                    victim.kill()
                    victim.wait()
                moment = now + self._chance.uniform(0.3, 1.0)
            time.sleep(0.002)

    def kill_all(self) -> None:
        """Everybody at once: nothing may be left half done in the file."""
        for process in self._processes:
            process.kill()
        for index, process in enumerate(self._processes):
            process.wait()
            self._bury(index)

    def stop(self) -> list[int]:
        """SIGTERM to all; their exit codes. Those that die at a late point are replaced until all stop cleanly."""
        self.disarm()
        for index, process in enumerate(self._processes):
            while not self._state(index)[3] and process.poll() is None:
                time.sleep(0.01)
            process.terminate()
        return [process.wait(60) for process in self._processes]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Nobody outlives a test that failed."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._board.close()
        self._file.close()

    def disarm(self) -> None:
        """From now on nobody dies: the rest of the work is done."""
        for index, process in enumerate(self._processes):
            process.kill()
            process.wait()
            self._bury(index, armed=False)

    def _bury(self, index: int, armed: bool = True) -> int:
        process = self._processes[index]
        assert process.returncode == -signal.SIGKILL, f"worker {index} ended by itself with {process.returncode}"
        open_claims, point, longest, works = self._state(index)
        if point:
            self.reached.add(list(POINTS)[point - 1])
        self.longest_wait = max(self.longest_wait, longest)
        if works:
            self.open_at_death.append(open_claims)
        SLOT.pack_into(self._board, index * SLOT.size, 0, 0, 0, 0)
        self._processes[index] = self._spawn(index, armed)
        return 1

    def _state(self, index: int) -> tuple[int, int, int, int]:
        return SLOT.unpack_from(self._board, index * SLOT.size)

    def _spawn(self, index: int, armed: bool = True) -> subprocess.Popen[bytes]:
        point, passes = "", 0
        if armed:
            if not self._todo:
                self._todo = [point for point in POINTS if point not in self.reached] or list(POINTS)
                self._chance.shuffle(self._todo)
            point, passes = self._todo.pop(), self._chance.randint(2, 12)
            passes = {"run, not committed": passes * 50, "lease claimed": 1}.get(point, passes)
        command = [
            sys.executable,
            "-m",
            "tests.crash.worker",
            self._store,
            str(self._path),
            str(index),
            point,
            str(passes),
        ]
        return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
