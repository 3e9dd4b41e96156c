"""Runs a part of the suite in a tree, and says what came of it."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import msgspec

from tests.mutants.tree import Tree

MEMORY = 8 * 1024**3
"""Bytes of address space: a loop that a bug made endless must not take the machine with it."""


class Verdict(msgspec.Struct, frozen=True):
    """What the suite said."""

    what: Literal["passed", "failed", "timeout", "died", "broken"]
    """`died`: the process ended, by a deadlock's watchdog or in a crash. `broken`: the tests could not even begin, so that
    nothing was judged."""
    by: str
    """The test that failed, or why nothing can be said."""
    seconds: float
    """That the tests took, without what was built before."""
    out: str = ""
    """The last lines of what was said."""

    @property
    def caught(self) -> bool:
        """Whether the suite has noticed."""
        return self.what in ("failed", "timeout", "died")


class Ended(msgspec.Struct, frozen=True):
    """A process that is gone, with all it had started."""

    code: int | None
    """None where it had to be killed."""
    out: str
    seconds: float


def judge(tree: Tree, command: str, env: Mapping[str, str], limit: float) -> Verdict:
    """By a command as it stands in a planted bug's file: `pytest …` or `cargo test …`."""
    program, *arguments = shlex.split(command)
    if program == "pytest":
        return pytest(tree, ["--timeout=40", *arguments], limit, env)
    assert program == "cargo", command
    return cargo(tree, arguments[1:], limit, env)


def pytest(tree: Tree, arguments: Sequence[str], limit: float, env: Mapping[str, str] | None = None) -> Verdict:
    """As `make test-python` runs them, up to the first failure."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
        # Not of the file descriptors: what a watchdog says as it ends the process would be lost.
        # And a test that has no end may have no orderly one either: its process is ended.
        options += ["--capture=sys", f"--junitxml={report}", "-o", "timeout_method=thread"]
        command = [str(tree.python), "-W", "error", "-m", "pytest", *options, *arguments]
        ended = run(tree, command, limit, {"PYTHONDEVMODE": "1", "CATGA_DEBUG_BUILD": "1", **(env or {})})
        if ended.code == 0:
            return Verdict("passed", "", ended.seconds)
        if ended.code is None:
            return Verdict("timeout", f"no end after {limit:.0f} s", ended.seconds)
        if not report.exists():
            what = re.findall(r"File \".*tests/(\S+)\.py\", line \d+,? in (test_\w+)", ended.out)
            where = f"{what[0][0].replace('/', '.')}::{what[0][1]}" if what else "unknown"
            if "+ Timeout +" in ended.out:
                return Verdict("timeout", where, ended.seconds)
            if ended.code == 1 or ended.code < 0:
                return Verdict("died", where, ended.seconds)
            return Verdict("broken", tail(ended.out), ended.seconds)
        for case in ElementTree.parse(report).iter("testcase"):
            for kind in ("failure", "error"):
                if (found := case.find(kind)) is not None:
                    return _failed(case, found.get("message", ""), ended)
        return Verdict("broken", tail(ended.out), ended.seconds)


def _failed(case: ElementTree.Element, message: str, ended: Ended) -> Verdict:
    if message == "collection failure":
        return Verdict("broken", tail(ended.out), ended.seconds)
    where = case.get("classname", "").removeprefix("tests.")
    what: Literal["failed", "timeout"] = "timeout" if "Timeout" in message and "pytest-timeout" in message else "failed"
    return Verdict(what, f"{where}::{case.get('name')}", ended.seconds, tail(ended.out))


def cargo(tree: Tree, arguments: Sequence[str], limit: float, env: Mapping[str, str] | None = None) -> Verdict:
    """Built first, so that what does not compile is not taken for caught."""
    env = env or {}
    command = ["cargo", "test", "--locked", *arguments]
    if "RUSTFLAGS" in env:
        command += ["--target-dir", tree.environment["CARGO_TARGET_DIR"] + "-flags"]
    built = run(tree, [*command, "--no-run", "--quiet"], 1800, env)
    if built.code != 0:
        return Verdict("broken", tail(built.out), built.seconds)
    ended = run(tree, command, limit, env)
    if ended.code == 0:
        return Verdict("passed", "", ended.seconds)
    if ended.code is None:
        return Verdict("timeout", f"no end after {limit:.0f} s", ended.seconds)
    failed = re.findall(r"^test (\S+) \.\.\. FAILED", ended.out, re.MULTILINE)
    binary = re.findall(r"Running (?:unittests )?(\S+)", ended.out)
    where = f"{Path(binary[-1]).stem}::" if binary else ""
    if failed:
        return Verdict("failed", where + failed[0], ended.seconds, tail(ended.out))
    return Verdict("died", f"{where} the process ended", ended.seconds, tail(ended.out))


def run(tree: Tree, command: Sequence[str], limit: float, env: Mapping[str, str]) -> Ended:
    """A process group of its own, so that nothing of it is left when its time is up."""
    import resource  # not everywhere, and what is planted is checked everywhere

    started = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as out:
        process = subprocess.Popen(
            command,
            cwd=tree.root,
            env={**tree.environment, **env},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
        )
        code: int | None
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        except BaseException:
            _end(process)
            raise
        _end(process)
        out.seek(0)
        return Ended(code, out.read(), time.monotonic() - started)


def _end(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def tail(text: str) -> str:
    """The last lines."""
    return "\n".join(text.strip().splitlines()[-40:])
