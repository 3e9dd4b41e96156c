"""Real processes for tests: started, listened to line by line, and never left behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

DEADLINE = 30.0
"""Seconds after which what was waited for will not come; never a measure of how long something takes."""

APP = """
import os
from catga import Catga, Command, Transaction

class Note(Command, key="topic"):
    topic: str
    text: str

app = Catga("notes", store="sqlite:///notes.db?lease=1")

@app.handler(Note)
async def keep(note: Note, tx: Transaction) -> None:
    tx.execute("create table if not exists notes (topic text, text text, pid integer)")
    tx.execute("insert into notes values (?, ?, ?)", note.topic, note.text, os.getpid())
"""


def until(found: Callable[[], Any], what: str, within: float = DEADLINE) -> Any:
    """Polls until something is there, and gives it."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.01)
    raise AssertionError(f"did not come: {what}")


class Cli:
    """`catga … --json` as a process; its events as they come."""

    def __init__(self, folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        environment = {**os.environ, "PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error", **(env or {})}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "catga.cli", *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.events: list[dict[str, Any]] = []
        self.errors: list[str] = []
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read_events, args=(self.process.stdout,)),
            threading.Thread(target=self.errors.extend, args=(self.process.stderr,)),
        ]
        for reader in self._readers:
            reader.start()

    def _read_events(self, lines: Any) -> None:
        for line in lines:
            self.events.append(json.loads(line))

    def named(self, event: str) -> list[dict[str, Any]]:
        return [found for found in list(self.events) if found["event"] == event]

    def wait_for(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        def enough() -> list[dict[str, Any]]:
            found = self.named(event)
            if len(found) < count and self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}: {self.events} {''.join(self.errors)}")
            return found if len(found) >= count else []

        try:
            return until(enough, f"{count} of {event}")
        except AssertionError as error:
            raise AssertionError(f"{error}; came: {self.events} {''.join(self.errors)}") from None

    def stop(self, how: int = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.ended()

    def ended(self) -> int:
        code = self.process.wait(DEADLINE)
        for reader in self._readers:
            reader.join(DEADLINE)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.ended()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()
