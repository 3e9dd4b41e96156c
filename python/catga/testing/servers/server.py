"""One server as a child process: its folder, its port, how it is started, killed and started again."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from catga.testing.servers import family

NOBODY = 65534
"""Whom servers run as where the tests run as root: PostgreSQL refuses root."""

PATIENCE = 30.0
"""Seconds a server may take to answer."""


class ServerMissing(RuntimeError):
    """The server's package is not installed, or the server did not start."""


class Server(ABC):
    """Started with `start` or `with`; what it keeps is in `folder`, and gone with `stop` unless it was given.

    A killed one can be started again on what it has kept, at the same port.
    """

    name: str = "server"

    def __init__(self, folder: Path | None = None, port: int | None = None) -> None:
        self._own = folder is None
        self.folder: Path = folder or Path(tempfile.mkdtemp(prefix=f"catga-{self.name}-"))
        self.port: int = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None
        if os.name == "posix" and os.getuid() == 0:
            shutil.chown(self.folder, NOBODY, NOBODY)

    @property
    @abstractmethod
    def url(self) -> str:
        """What a client connects to."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The server in the foreground."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether it answers."""

    def prepare(self) -> None:  # noqa: B027 - nothing, for most
        """Once, before its first start."""

    def start(self) -> Self:
        """Starts it and waits until it answers; `ServerMissing` where it does not, with the end of what it said."""
        if not (self.folder / ".prepared").exists():
            self.prepare()
            (self.folder / ".prepared").touch()
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen[bytes](
                self.command(),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **self.user(),
            )
        self._process = process
        deadline = time.monotonic() + PATIENCE
        while not self.ready():
            if process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "log").read_text("utf-8", "replace")[-2000:]
                self.kill()
                raise ServerMissing(f"{self.name} did not start at port {self.port}:\n{said}")
            time.sleep(0.01)
        return self

    @property
    def pid(self) -> int:
        """Of the running process."""
        if self._process is None:
            raise ServerMissing(f"{self.name} is not running")
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL to it and its children: what it had not written out is gone."""
        self._end(family.kill if os.name == "posix" else lambda pid: os.kill(pid, signal.SIGTERM))

    def stop(self) -> None:
        """Ends it, and what it kept if the folder is its own."""
        self._end(lambda pid: os.killpg(pid, self.ending()) if os.name == "posix" else os.kill(pid, self.ending()))
        if self._own:
            shutil.rmtree(self.folder, ignore_errors=True)

    def pause(self) -> None:
        """Stands still (SIGSTOP) until `resume`: half-open to its clients."""
        # It itself first: it starts nobody while its children are looked for.
        os.kill(self.pid, signal.SIGSTOP)
        for pid in family.family(self.pid):
            family.tell(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Goes on."""
        for pid in reversed(family.family(self.pid)):
            family.tell(pid, signal.SIGCONT)

    def ending(self) -> signal.Signals:
        """The signal that ends it in order."""
        return signal.SIGTERM

    def user(self) -> dict[str, Any]:
        """How it is started as nobody where we are root."""
        if os.name == "posix" and os.getuid() == 0:
            return {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        return {}

    def _end(self, end: Callable[[int], None]) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            end(process.pid)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_port() -> int:
    """One that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def executable(name: str, package: str) -> str:
    """A program that a pip package puts beside the interpreter, or one on PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise ServerMissing(f"{name} is not installed: pip install {package}")
    return found
