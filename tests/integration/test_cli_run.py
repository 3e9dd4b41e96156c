"""`catga run` with real processes: handled, restarted, stopped."""

import asyncio
import importlib.util
import os
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.integration.processes import APP, Cli, until

from catga.cli.process import YOUNG
from catga.cli.supervisor import AGAIN

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

# Says that it is there, then keeps the loop for longer than any test lasts.
STUCK = APP.replace(
    "    tx.execute(",
    '    import time\n    print(\'{"event": "stuck"}\', flush=True)\n    time.sleep(600)\n    tx.execute(',
    1,
)
# Says what the garbage collector does not look at while a message is handled.
HEAP = APP.replace(
    "    tx.execute(",
    '    import gc\n    print(f\'{{"event": "heap", "frozen": {gc.get_freeze_count()}, "young": {gc.get_threshold()[0]}}}\', flush=True)\n    tx.execute(',
    1,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "notes.py").write_text(APP)
    return tmp_path


@pytest.fixture
def notes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The app's module in this process: to enqueue, never to work."""
    monkeypatch.chdir(folder)
    spec = importlib.util.spec_from_file_location("notes", folder / "notes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "notes", module)
    spec.loader.exec_module(module)
    return module


def enqueue(notes: Any, count: int, text: str = "text") -> None:
    async def send() -> None:
        await notes.app.start(work=False)
        await notes.app.enqueue_many([notes.Note(f"topic {number}", text) for number in range(count)])
        await notes.app.stop()

    asyncio.run(send())


def kept(folder: Path) -> list[tuple[str, str, int]]:
    with closing(sqlite3.connect(f"file:{folder / 'notes.db'}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute("select * from notes").fetchall()
        except sqlite3.OperationalError:
            return []


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_two_workers_handle_and_stop(folder: Path, notes: Any, loop: str) -> None:
    enqueue(notes, 100)
    with Cli(folder, "run", "notes:app", "--workers", "2", "--loop", loop, "--json") as cli:
        ready = cli.wait_for("ready", 2)
        assert {event["worker"] for event in ready} == {1, 2}
        rows = until(lambda: len(found := kept(folder)) == 100 and found, "100 notes")
        assert len({topic for topic, _, _ in rows}) == 100
        assert {pid for _, _, pid in rows} <= {event["pid"] for event in ready}
        assert cli.stop() == 0
        assert len(cli.named("stopped")) == 2
    assert not any(alive(event["pid"]) for event in ready)


def test_a_killed_worker_is_started_again_and_nothing_is_lost(folder: Path, notes: Any) -> None:
    with Cli(folder, "run", "notes:app", "--workers", "2", "--json") as cli:
        first = cli.wait_for("ready", 2)
        os.kill(first[0]["pid"], signal.SIGKILL)
        enqueue(notes, 50)
        (died,) = cli.wait_for("died")
        assert (died["worker"], died["pid"], died["code"]) == (first[0]["worker"], first[0]["pid"], -signal.SIGKILL)
        again = cli.wait_for("ready", 3)[2]
        assert again["worker"] == first[0]["worker"]
        assert again["pid"] != first[0]["pid"]
        until(lambda: len(kept(folder)) == 50, "50 notes, each once")
        assert cli.stop(signal.SIGINT) == 0


def test_what_a_worker_has_loaded_is_not_searched_for_garbage(folder: Path, notes: Any) -> None:
    (folder / "notes.py").write_text(HEAP)
    enqueue(notes, 1)
    with Cli(folder, "run", "notes:app", "--json") as cli:
        (heap,) = cli.wait_for("heap")
        assert heap["frozen"] > 10_000
        assert heap["young"] == YOUNG
        assert cli.stop() == 0


def test_pauses_grow(folder: Path) -> None:
    (folder / "dies.py").write_text(
        "import os\nfrom catga import Catga, Command\n"
        "class Die(Command):\n    pass\n"
        "app = Catga('dies')\n"
        "@app.handler(Die)\nasync def die(_: Die) -> None: ...\n"
        "class Bomb:\n"
        "    def check(self, app): return []\n"
        "    async def start(self, app): os._exit(7)\n"
        "    async def stop(self, deadline): ...\n"
        "    def describe(self): return {}\n"
        "app.include(Bomb())\n"
    )
    with Cli(folder, "run", "dies:app", "--json") as cli:
        pauses = [event["pause"] for event in cli.wait_for("died", 3)]
        assert pauses[:3] == [0.25, 0.5, 1.0]
        assert all(event["code"] == 7 for event in cli.named("died"))
        assert cli.stop() == 0


def test_an_app_that_cannot_start_is_not_tried_again(folder: Path) -> None:
    text = APP.replace("tx: Transaction", "tx: Transaction, lost: dict")
    (folder / "wrong.py").write_text(text)
    with Cli(folder, "run", "wrong:app", "--workers", "2", "--json") as cli:
        assert cli.ended() == 1
        assert {event["worker"] for event in cli.named("mistake")} == {1, 2}
        assert "[CTG-1005] nothing provides dict" in cli.named("mistake")[0]["text"]
        assert not cli.named("died")


def test_workers_end_with_their_supervisor(folder: Path, notes: Any) -> None:
    with Cli(folder, "run", "notes:app", "--workers", "2", "--json") as cli:
        pids = [event["pid"] for event in cli.wait_for("ready", 2)]
        cli.process.kill()
        until(lambda: not any(map(alive, pids)), "the end of both workers")


def test_a_worker_that_is_stuck_shows_where_and_ends(folder: Path) -> None:
    (folder / "stuck.py").write_text(STUCK)
    with Cli(folder, "run", "stuck:app", "--stop-within", "0", "--json") as cli:
        cli.wait_for("ready")
        with Cli(folder, "send", "--enqueue", "Note", '{"topic": "a", "text": "b"}', "stuck:app") as sender:
            sender.process.wait()
        cli.wait_for("stuck")
        assert cli.stop() == 1
        assert cli.named("killed")
        assert any("in keep" in line for line in cli.errors)


def test_a_second_signal_does_not_wait(folder: Path) -> None:
    (folder / "stuck.py").write_text(STUCK)
    with Cli(folder, "run", "stuck:app", "--json") as cli:
        (ready,) = cli.wait_for("ready")
        with Cli(folder, "send", "--enqueue", "Note", '{"topic": "a", "text": "b"}', "stuck:app") as sender:
            sender.process.wait()
        cli.wait_for("stuck")
        cli.process.send_signal(signal.SIGTERM)
        cli.wait_for("stopping")
        time.sleep(AGAIN * 1.1)  # before that it is the same signal, by definition
        assert cli.stop() == 1
    assert not alive(ready["pid"])


def test_one_signal_that_comes_twice_is_one(folder: Path) -> None:
    with Cli(folder, "run", "notes:app", "--workers", "2", "--json") as cli:
        cli.wait_for("ready", 2)
        cli.process.send_signal(signal.SIGTERM)
        cli.process.send_signal(signal.SIGINT)
        assert cli.ended() == 0
        assert not cli.named("killed")


def test_reload(folder: Path) -> None:
    with Cli(folder, "run", "notes:app", "--reload", "--json") as cli:
        (first,) = cli.wait_for("ready")
        (folder / "notes.py").write_text(APP.replace('Catga("notes"', 'Catga("renamed"'))
        cli.wait_for("reload")
        again = cli.wait_for("ready", 2)[1]
        assert (again["app"], again["pid"] == first["pid"]) == ("renamed", False)
        (folder / "notes.py").write_text("app = 1 +")
        cli.wait_for("waiting")
        (folder / "notes.py").write_text(APP)
        assert cli.wait_for("ready", 3)[2]["app"] == "notes"
        assert cli.stop() == 0


def test_dev_brings_a_store(folder: Path) -> None:
    (folder / "bare.py").write_text(APP.replace(', store="sqlite:///notes.db?lease=1"', ""))
    with Cli(folder, "dev", "bare:app", "--json", env={"CATGA_STORE": ""}) as cli:
        (ready,) = cli.wait_for("ready")
        file = Path(ready["store"].removeprefix("sqlite:///"))
        assert file.exists()
        assert any("gone afterwards" in event["text"] for event in cli.named("note"))
        assert cli.stop() == 0
    assert not file.exists()
