"""What `catga doctor` looks at on this machine, each with its fix."""

import os
import platform
import sqlite3
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import Literal

import msgspec

import catga
from catga.errors import CatgaError

OLDEST_YEAR, LATEST_YEAR = 2025, 2100
SKEW = 2.0
"""Seconds that a file's time may differ from ours."""
EXTRAS: dict[str, tuple[str, ...]] = {"cli": ("typer", "rich", "watchfiles"), "uvloop": ("uvloop",)}


class Finding(msgspec.Struct, frozen=True):
    """What was looked at, what was found, and what to do where it is not `ok`."""

    what: str
    state: Literal["ok", "warning", "wrong"]
    found: str
    fix: str = ""


def wrong(what: str, error: CatgaError) -> Finding:
    """An error as a finding."""
    return Finding(what, "wrong", f"{error.what}{f' ({error.why})' if error.why else ''}", error.fix)


def check_machine() -> list[Finding]:
    """Everything that needs no app."""
    return [_python(), _extension(), _sqlite(), *_clock(), *_extras(), _backends()]


def _python() -> Finding:
    found = f"{platform.python_implementation()} {platform.python_version()} on {platform.platform(terse=True)}"
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return Finding("python", "warning", f"{found}, without the GIL", "use a build with it: this one is not tested")
    return Finding("python", "ok", found)


def _extension() -> Finding:
    built = catga.build_info()
    found = f"catga {built['version']}, {built['profile']} build for {built['target']}-{built['os']}"
    if built["profile"] != "release":
        return Finding("extension", "warning", found, "rebuild it with --release: a debug build is many times slower")
    return Finding("extension", "ok", found)


def _sqlite() -> Finding:
    found = f"SQLite {sqlite3.sqlite_version}, threadsafety {sqlite3.threadsafety}"
    if sqlite3.threadsafety == 0:
        return Finding("sqlite", "wrong", found, "use a Python whose SQLite is built with threads")
    return Finding("sqlite", "ok", found)


def _clock() -> list[Finding]:
    now = time.time()
    year = time.gmtime(now).tm_year
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if not OLDEST_YEAR <= year < LATEST_YEAR:
        return [Finding("clock", "wrong", f"it is {shown}", "set the clock: ids and dedupe windows are made of it")]
    with tempfile.TemporaryFile() as file:
        before = time.time()
        file.write(b"catga")
        file.flush()
        skew = os.fstat(file.fileno()).st_mtime - before
    if abs(skew) > SKEW:
        return [
            Finding(
                "clock",
                "warning",
                f"a new file is {skew:+.1f} s off our clock",
                "let all machines follow one time server",
            )
        ]
    return [Finding("clock", "ok", shown)]


def _extras() -> list[Finding]:
    findings: list[Finding] = []
    for extra, packages in EXTRAS.items():
        found = {package: _version(package) for package in packages}
        shown = ", ".join(f"{package} {number or 'missing'}" for package, number in found.items())
        if all(found.values()):
            findings.append(Finding(f"extra {extra}", "ok", shown))
        else:
            state: Literal["ok", "warning"] = "ok" if not any(found.values()) else "warning"
            findings.append(Finding(f"extra {extra}", state, shown, f"pip install 'catga[{extra}]', if it is wanted"))
    return findings


def _backends() -> Finding:
    good: list[str] = []
    bad: list[str] = []
    for entry in sorted(entry_points(group="catga.backends")):
        try:
            entry.load()
        except ImportError as error:
            bad.append(f"{entry.name}: {error}")
        else:
            good.append(f"{entry.name}://")
    found = ", ".join([*good, *bad])
    if not good:
        return Finding(
            "backends", "wrong", found or "none is registered", "install catga again: its metadata is not found"
        )
    return Finding("backends", "ok", found)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
