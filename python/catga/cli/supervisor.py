"""The supervisor: keeps N workers alive, restarts those that die, stops all together. It never loads the app itself."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from catga.cli.report import Report
from catga.cli.signals import on_stop
from catga.cli.worker import COULD_NOT_START, Orders

FIRST, MOST = 0.25, 30.0
"""Seconds before a dead worker is started again: doubled at each death, up to the most."""
AGAIN = 1.0
"""Seconds before a second signal is one: wrappers and terminals deliver the first to the group as well."""
STEADY = 60.0
"""A worker that lived this long died for a new reason: its pauses begin anew."""


class Worker:
    """A process and the lifeline that keeps it: closing that asks it to stop, on every platform and after any death."""

    def __init__(self, process: asyncio.subprocess.Process, lifeline: int) -> None:
        self.process = process
        self.asked: bool = False
        self.since: float = time.monotonic()
        self._lifeline = lifeline

    @classmethod
    async def start(cls, orders: Orders, environment: Mapping[str, str]) -> "Worker":
        """Another interpreter, so that nothing that is open is ever shared by a fork."""
        theirs, ours = os.pipe()
        try:
            windows = sys.platform == "win32"
            how: dict[str, Any] = {"stdin": theirs} if windows else {"pass_fds": (theirs,)}
            told = msgspec.structs.replace(orders, lifeline=0 if windows else theirs)
            command = [sys.executable, "-m", "catga.cli.worker", msgspec.json.encode(told).decode()]
            process = await asyncio.create_subprocess_exec(*command, env=dict(environment), **how)
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return cls(process, ours)

    def ask(self) -> None:
        """Asks it to stop; once."""
        if not self.asked:
            self.asked = True
            os.close(self._lifeline)

    async def ended(self) -> tuple[int, bool]:
        """Its exit code, and whether it was asked to end."""
        code = await self.process.wait()
        asked = self.asked
        self.ask()
        return code, asked


class Supervisor:
    """Runs until it is asked to stop, or until its workers cannot start."""

    def __init__(self, orders: Orders, workers: int, environment: Mapping[str, str], *, reloads: bool = False) -> None:
        self._orders = orders
        self._count = workers
        self._environment = environment
        self._reloads = reloads
        self._report = Report(orders.as_json)
        self._workers: dict[int, Worker] = {}
        self._wake = asyncio.Event()
        self._changes = 0
        self._stopping = False
        self._since = 0.0
        self._code = 0

    async def run(self, changes: AsyncIterator[str] | None = None) -> int:
        """The exit code; each of `changes` restarts the workers."""
        on_stop(self.stop)
        watching = asyncio.create_task(self._follow(changes)) if changes is not None else None
        try:
            await asyncio.gather(*(self._keep(number) for number in range(1, self._count + 1)))
        finally:
            if watching is not None:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
        return self._code

    def stop(self) -> None:
        """Asks all workers to stop; asked again, does not wait for them."""
        if self._stopping:
            if time.monotonic() - self._since < AGAIN:
                return
            self._code = 1
            for worker in self._workers.values():
                with contextlib.suppress(ProcessLookupError):
                    worker.process.kill()
            return
        self._stopping = True
        self._since = time.monotonic()
        if self._workers:
            self._report.say("stopping", "stopping; once more to kill what still runs")
        self._ask_all()

    def restart(self, why: str) -> None:
        """Every worker ends gracefully and begins anew, with what the files say now."""
        self._report.say("reload", f"{why} changed: starting again", path=why)
        self._changes += 1
        self._ask_all()

    def _ask_all(self) -> None:
        for worker in self._workers.values():
            worker.ask()
        self._wake.set()

    async def _follow(self, changes: AsyncIterator[str]) -> None:
        try:
            async for path in changes:
                self.restart(path)
        except Exception as error:
            # Workers that look as if they were reloaded, and are not, would mislead for hours.
            self._report.say("blind", f"files can no longer be watched: {error}")
            self._code = 1
            if not self._stopping:
                self.stop()

    async def _keep(self, number: int) -> None:
        orders = msgspec.structs.replace(self._orders, number=number)
        deaths = 0
        was_ready = False
        while not self._stopping:
            seen = self._changes
            worker = self._workers[number] = await Worker.start(orders, self._environment)
            if self._stopping or self._changes != seen:
                worker.ask()
            code, asked = await worker.ended()
            del self._workers[number]
            if self._stopping:
                self._last(number, code)
            elif asked:
                deaths = 0
            elif self._reloads:
                self._report.say(
                    "waiting", f"worker {number} {_ended(code)}; waiting for a change", worker=number, code=code
                )
                await self._pause(None, seen)
            elif code == COULD_NOT_START and not was_ready:
                self._code = 1
                self.stop()
            else:
                was_ready = True
                deaths = 1 if time.monotonic() - worker.since > STEADY else deaths + 1
                pause = min(MOST, FIRST * 2 ** (deaths - 1))
                text = f"worker {number} {_ended(code)}; again in {pause:g} s"
                self._report.say("died", text, worker=number, pid=worker.process.pid, code=code, pause=pause)
                await self._pause(pause, seen)

    def _last(self, number: int, code: int) -> None:
        if code not in (0, COULD_NOT_START):
            self._code = 1
            self._report.say("killed", f"worker {number} did not stop: it {_ended(code)}", worker=number, code=code)

    async def _pause(self, seconds: float | None, seen: int) -> None:
        if self._stopping or self._changes != seen:
            return
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)


def _ended(code: int) -> str:
    if code == COULD_NOT_START:
        return "could not start"
    try:
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    except ValueError:
        return f"was ended by signal {-code}"
