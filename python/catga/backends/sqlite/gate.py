"""The fair gate: SQLite's own wait for the write lock lets some processes starve; two lock files make them queue."""

import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int, wait: bool) -> bool:
        os.lseek(fd, 0, os.SEEK_SET)
        while True:
            try:
                msvcrt.locking(fd, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError:
                if not wait:
                    return False
            else:
                return True

    def _unlock(fd: int) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(fd: int, wait: bool) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


class Gate:
    """Take *next*, take *turn*, free *next*: whoever waits longest holds *next* and gets the turn. The system frees both
    when a process dies."""

    def __init__(self, database: Path) -> None:
        self._next, self._turn = (
            os.open(f"{database}.{name}", os.O_RDWR | os.O_CREAT, 0o644) for name in ("next", "turn")
        )

    def try_enter(self) -> bool:
        """Enters if nobody is inside or waiting."""
        if not _lock(self._next, wait=False):
            return False
        entered = _lock(self._turn, wait=False)
        _unlock(self._next)
        return entered

    def enter(self) -> None:
        """Waits; blocks the calling thread."""
        _lock(self._next, wait=True)
        _lock(self._turn, wait=True)
        _unlock(self._next)

    def leave(self) -> None:
        """Lets the next one in."""
        _unlock(self._turn)

    def close(self) -> None:
        """Closes the lock files; they stay for the others."""
        os.close(self._next)
        os.close(self._turn)
