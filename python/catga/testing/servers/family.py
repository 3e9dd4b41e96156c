"""A process and all that came from it: PostgreSQL's children live in sessions of their own, where no group reaches them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

GONE = 10.0
"""Seconds in which a killed process has to be gone."""


def family(pid: int) -> list[int]:
    """It and its descendants, children after their parents."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


def kill(pid: int) -> None:
    """SIGKILL to all of them, and none is left when this returns; it itself is its parent's to wait for."""
    # It starts nobody while its children are looked for.
    os.kill(pid, signal.SIGSTOP)
    members = family(pid)
    for member in reversed(members):
        tell(member, signal.SIGKILL)
    deadline = time.monotonic() + GONE
    while any(lives(member) for member in members) and time.monotonic() < deadline:
        time.sleep(0.001)


def tell(pid: int, number: int) -> None:
    """A signal to one that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def lives(pid: int) -> bool:
    """Whether it is there and runs; who has ended and was not waited for does not."""
    if sys.platform == "linux":
        stat = _stat(Path(f"/proc/{pid}"))
        return stat is not None and stat[0] not in "ZX"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _parents() -> list[tuple[int, int]]:
    if sys.platform == "linux":
        stats = {int(path.name): _stat(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
        return [(pid, int(stat[1])) for pid, stat in stats.items() if stat is not None]
    listed = subprocess.run(["/bin/ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [(int(pid), int(parent)) for pid, parent in (line.split() for line in listed.splitlines())]


def _stat(path: Path) -> list[str] | None:
    """State and parent first; after the name, which may hold anything."""
    try:
        return (path / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
