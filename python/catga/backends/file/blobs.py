"""Blobs as files of one folder."""

import asyncio
import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TypeVar

from catga.backends.file.options import FileOptions
from catga.errors import StoreError, StoreFull, StoreReadOnly, StoreUnavailable

T = TypeVar("T")

PARTIAL = ".part"
"""The end of a name that is still being written."""


class FileBlobs:
    """A file each, in 256 folders. Until when it is kept is the file's own time of change. Work is done in threads."""

    def __init__(self, options: FileOptions) -> None:
        self._folder = Path(options.path).resolve()
        self.blobs_id: str = f"file:{self._folder}"

    async def open(self) -> None:
        """Makes the folder."""
        await self._in_thread(lambda: self._folder.mkdir(parents=True, exist_ok=True))

    async def close(self) -> None:
        """Nothing is held."""

    async def put(self, name: str, data: bytes, until_ms: int) -> None:
        """Written beside its place and moved there: half a file is never found."""
        await self._in_thread(lambda: self._write(self._place(name), data, until_ms))

    async def get(self, name: str, most: int) -> bytes | None:
        """See the port."""
        return await self._in_thread(lambda: _read(self._place(name), most))

    async def remove(self, names: Sequence[str]) -> None:
        """See the port."""
        places = [self._place(name) for name in names]
        await self._in_thread(lambda: _remove(places))

    async def expire(self, now_ms: int) -> int:
        """Walks all files; what a crash left half-written goes when a whole one would."""
        return await self._in_thread(lambda: self._expire(now_ms))

    def _place(self, name: str) -> Path:
        return self._folder / name[-2:] / name

    def _write(self, place: Path, data: bytes, until_ms: int) -> None:
        fresh = not place.parent.exists()
        place.parent.mkdir(exist_ok=True)
        # Another put of the same name may be under way in another thread, or in another process.
        handle, partial = tempfile.mkstemp(PARTIAL, place.name, place.parent)
        beside = Path(partial)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                with contextlib.suppress(FileNotFoundError):
                    until_ms = max(until_ms, place.stat().st_mtime_ns // 1_000_000)
                os.utime(file.fileno(), ns=(until_ms * 1_000_000, until_ms * 1_000_000))
                os.fsync(file.fileno())
            beside.replace(place)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _sync(place.parent)
        if fresh:
            _sync(self._folder)

    def _expire(self, now_ms: int) -> int:
        count = 0
        for place in self._folder.glob("??/*"):
            # Another instance may expire the same ones.
            with contextlib.suppress(FileNotFoundError):
                if place.stat().st_mtime_ns // 1_000_000 < now_ms:
                    place.unlink()
                    count += not place.name.endswith(PARTIAL)
        return count

    async def _in_thread(self, work: Callable[[], T]) -> T:
        def run() -> T:
            with _typed(self._folder):
                return work()

        return await asyncio.to_thread(run)


def _read(place: Path, most: int) -> bytes | None:
    try:
        with place.open("rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        return None
    return data if len(data) <= most else None


def _remove(places: Sequence[Path]) -> None:
    for place in places:
        place.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """The name itself survives a crash only once its folder is written; Windows does that by itself."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _typed(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        kind: type[StoreError] = StoreUnavailable
        fix = "check that the folder exists and can be reached"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            kind, fix = StoreFull, "make room; what waits is done then"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            kind, fix = StoreReadOnly, "give this process write access to the folder"
        raise kind("the blobs cannot be used", where=str(folder), why=str(error), fix=fix) from error
