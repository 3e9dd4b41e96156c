"""What producers have attempted, and what was acknowledged to them: written out before and after each call, so that it
survives their death."""

import os
from pathlib import Path


class Ledger:
    """One producer's file: a line before each call, and one after it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def attempt(self, key: str, first: int, count: int) -> None:
        """Numbers of a key that are about to be sent; they are never used again."""
        self._write(f"? {key} {first} {count}\n")

    def acknowledge(self, key: str, first: int, count: int) -> None:
        """They were acknowledged."""
        self._write(f"! {key} {first} {count}\n")

    def read(self) -> tuple[dict[str, int], set[tuple[str, int]]]:
        """The next free number of each key, and everything that was acknowledged."""
        free: dict[str, int] = {}
        acknowledged: set[tuple[str, int]] = set()
        text = self._path.read_text() if self._path.exists() else ""
        # A line that was cut off by a death was not said.
        for line in text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]:
            kind, key, first, count = line.split()
            numbers = range(int(first), int(first) + int(count))
            free[key] = max(free.get(key, 0), numbers.stop)
            if kind == "!":
                acknowledged.update((key, number) for number in numbers)
        return free, acknowledged

    def _write(self, line: str) -> None:
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.write(self._file, line.encode())
