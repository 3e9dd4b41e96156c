"""The fleet: producers, relays and consumers as processes of their own, killed at any moment and replaced."""

import json
import mmap
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from tests.crash.crew import ROOT
from tests.crash.ledger import Ledger
from tests.crash.member import ALLOWED_AT, NUMBER, SEAT, SLOT, Ground

FOUR = 4
ROLES = ("producer", "relay", "consumer")
PATIENCE = 20.0
"""Seconds that a victim is waited for until it has work in hand: one that replaces another has to start and then waits for
its share of the leases."""


class Fleet:
    """Members keep their places; who dies is replaced."""

    def __init__(self, ground: Ground, folder: Path, chance: random.Random, roles: tuple[str, ...] = ROLES) -> None:
        self._ground = ground
        self._folder = folder
        self._chance = chance
        self._roles = [role for role in roles for _ in range(FOUR)]
        (folder / "board").write_bytes(bytes(SLOT.size * len(self._roles)))
        self._file = (folder / "board").open("r+b")
        self._board = mmap.mmap(self._file.fileno(), 0)
        self.killed = 0
        self.idle: list[str] = []
        """Of those killed, who had no work in hand."""
        self.away = 0.0
        """Seconds in which a server was away, at the longest."""
        self._members = [self._spawn(index) for index in range(len(self._roles))]

    def allow(self, messages: int) -> None:
        """So many messages may have been attempted, by all producers together."""
        for index, role in enumerate(self._roles):
            if role == "producer":
                NUMBER.pack_into(self._board, index * SLOT.size + ALLOWED_AT, messages // FOUR)

    def attempted(self) -> int:
        """By all producers, as far as they have said."""
        return sum(self._slot(index)[3] for index in self._producers())

    def acknowledged(self) -> set[tuple[str, int]]:
        """By all producers."""
        return set().union(*(self.ledger(index).read()[1] for index in self._producers()))

    def kill(self, count: int) -> None:
        """So many random ones; those without work in hand are given some seconds to take some."""
        for index in self._chance.sample(range(len(self._members)), count):
            member = self._members[index]
            until = time.monotonic() + PATIENCE
            while member.poll() is None:
                member.send_signal(signal.SIGSTOP)
                busy, works, _, _ = self._slot(index)
                if busy or time.monotonic() > until:
                    self.killed += 1
                    if not busy:
                        self.idle.append(self._roles[index] if works else f"{self._roles[index]}, not started")
                    member.kill()
                    break
                member.send_signal(signal.SIGCONT)
                time.sleep(0.0005)
            self._bury(index)

    def replace_ended(self) -> int:
        """Those that could not start while a server was away; how many."""
        ended = [index for index, member in enumerate(self._members) if member.poll() is not None]
        for index in ended:
            self._bury(index)
        return len(ended)

    def stop(self) -> list[int]:
        """SIGTERM to all; their exit codes."""
        for index, member in enumerate(self._members):
            while not self._slot(index)[1] and member.poll() is None:
                time.sleep(0.01)
            member.terminate()
        return [member.wait(60) for member in self._members]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Nobody outlives a test that failed."""
        for member in self._members:
            member.kill()
            member.wait()
        self._board.close()
        self._file.close()

    def ledger(self, index: int) -> Ledger:
        """A producer's."""
        return Ledger(self._folder / f"ledger-{index}")

    def logs(self) -> list[str]:
        """What consumers and relays have said, in the order of time."""
        lines = [
            f"{line} [{role} {index}]"
            for index, role in enumerate(self._roles)
            if role != "producer"
            for line in (self._folder / f"log-{index}").read_text(errors="replace").splitlines()
        ]
        return sorted(line for line in lines if line[:2] == "20")

    def _producers(self) -> list[int]:
        return [index for index, role in enumerate(self._roles) if role == "producer"]

    def _slot(self, index: int) -> tuple[int, int, int, int]:
        return SLOT.unpack_from(self._board, index * SLOT.size)

    def _bury(self, index: int) -> None:
        self._members[index].wait()
        SEAT.pack_into(self._board, index * SLOT.size, 0, 0)
        self._members[index] = self._spawn(index)

    def _spawn(self, index: int) -> "subprocess.Popen[bytes]":
        arguments = [self._roles[index], json.dumps(self._ground), str(self._folder / "board"), str(index)]
        command = [sys.executable, "-m", "tests.crash.member", *arguments, str(self._folder / f"ledger-{index}")]
        with (self._folder / f"log-{index}").open("ab") as log:
            return subprocess.Popen(
                [*command, str(self._chance.getrandbits(32))],
                cwd=ROOT,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
                stderr=log,
            )
