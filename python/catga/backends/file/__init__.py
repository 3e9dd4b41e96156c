"""Files: a folder for payloads that are too large to travel."""

from catga.backends.file.blobs import FileBlobs
from catga.backends.file.options import FileOptions
from catga.clock import Clock

__all__ = ["FileBlobs", "FileOptions", "blobs"]


def blobs(url: str, clock: Clock) -> FileBlobs:
    """`file:///relative/folder`, `file:////absolute/folder`."""
    return FileBlobs(FileOptions.parse(url))
