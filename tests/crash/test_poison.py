"""A message that kills whoever works on it: found after a known number of deaths, and nobody is convicted with it."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from catga.delivery import channel
from tests.crash.crew import ROOT
from tests.crash.poison import POISON, Dose, make_app

MESSAGES = 200
KEYS = 40
SUSPECTED = 2
"""Deaths of a part's holder in a row after which what it may have had out runs alone."""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("workers", [1, 3])
def test_poison_is_parked_after_so_many_deaths_and_its_neighbours_are_handled_once(
    tmp_path: Path, workers: int
) -> None:
    path = tmp_path / "doses.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table effects (seq integer primary key autoincrement, key text, number integer)")
    store = f"sqlite:///{path}?lease=0.6&synchronous=NORMAL"

    async def ask() -> None:
        app = make_app(store)
        await app.start(work=False)
        await app.enqueue_many([Dose(f"key-{n % KEYS}", n) for n in range(MESSAGES)])
        await app.stop()

    asyncio.run(ask())

    def spawn() -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-W", "error", "-m", "tests.crash.poison", store], cwd=ROOT)

    crew = [spawn() for _ in range(workers)]
    deaths = 0
    deadline = time.monotonic() + 90
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            while time.monotonic() < deadline:
                (left,) = connection.execute("select count(*) from catga_queue").fetchone()
                if not left:
                    break
                for index, process in enumerate(crew):
                    if process.poll() is not None:
                        assert process.returncode == -signal.SIGKILL
                        deaths += 1
                        crew[index] = spawn()
                time.sleep(0.01)
            (dead,) = connection.execute("select count(*) from catga_parked where state = 'dead'").fetchone()
            (reason,) = connection.execute("select reason from catga_parked").fetchone()
            rows = connection.execute("select key, number from effects order by seq").fetchall()
    finally:
        for process in crew:
            process.terminate()
        codes = [process.wait(30) for process in crew]

    assert left == 0
    assert dead == 1
    assert "CTG-5001" in reason
    assert deaths == SUSPECTED + channel.POISON
    assert codes == [0] * workers
    assert Counter(number for _, number in rows) == {n: 1 for n in range(MESSAGES) if n != POISON}
    for key in range(KEYS):
        ours = [number for name, number in rows if name == f"key-{key}"]
        assert ours == sorted(ours)
