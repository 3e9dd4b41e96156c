"""One server for many processes: who needs it first has it started, and it ends with the process that they all belong to."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from catga.testing.servers.nats import Nats
from catga.testing.servers.postgres import Postgres
from catga.testing.servers.server import PATIENCE, Server, ServerMissing
from catga.testing.servers.valkey import Valkey

KINDS: dict[str, type[Server]] = {kind.name: kind for kind in (Nats, Postgres, Valkey)}


def shared(name: str, guardian: int) -> str:
    """The URL of the server of that name that runs as long as the process `guardian`; `CATGA_TEST_<NAME>` names one of your
    own instead."""
    if own := os.environ.get(f"CATGA_TEST_{name.upper()}"):
        return own
    folder = Path(tempfile.gettempdir()) / f"catga-servers-{guardian}"
    folder.mkdir(mode=0o755, exist_ok=True)
    said = folder / f"{name}.json"
    try:
        (folder / f"{name}.claim").open("x").close()
    except FileExistsError:
        pass
    else:
        command = [sys.executable, "-m", "catga.testing.servers", name, str(guardian), str(folder)]
        subprocess.run(command, stdin=subprocess.DEVNULL, start_new_session=True, check=True)
    deadline = time.monotonic() + 2 * PATIENCE
    while not said.exists():
        if time.monotonic() > deadline:
            raise ServerMissing(f"{name} was not started within {2 * PATIENCE:.0f} s")
        time.sleep(0.02)
    answer = json.loads(said.read_text())
    if "error" in answer:
        raise ServerMissing(answer["error"])
    return str(answer["url"])


def keep(name: str, guardian: int, folder: Path) -> None:
    """Runs the server until its guardian has ended; in a process of its own, nobody's child."""
    if os.fork():
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    said = folder / f"{name}.json"
    (folder / name).mkdir()
    server = KINDS[name](folder / name)
    try:
        try:
            server.start()
            _say(said, {"url": server.url})
        except ServerMissing as error:
            _say(said, {"error": str(error)})
        while _lives(guardian):
            time.sleep(0.1)
    finally:
        server.stop()
        shutil.rmtree(folder / name, ignore_errors=True)
        for file in (said, folder / f"{name}.claim"):
            file.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()


def _say(file: Path, what: dict[str, str]) -> None:
    # Renamed into place: nobody reads half of it.
    half = file.with_suffix(".half")
    half.write_text(json.dumps(what))
    half.rename(file)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
