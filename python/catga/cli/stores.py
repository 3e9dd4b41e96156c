"""The store a command works on: that of an app, or one named by its URL."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from catga.app import Catga
from catga.backends import open_backend
from catga.cli.target import UsageError, load
from catga.clock import SystemClock
from catga.deadletters import DeadLetters
from catga.description import shown_backend
from catga.errors import ConfigurationError


def app_of(target: str | None, url: str | None) -> Catga | None:
    """The app, where one was named; either it or a URL must be."""
    if (target is None) == (url is None):
        raise UsageError("name an app or a store", fix="write module:app, or --store sqlite:///orders.db")
    app = None if target is None else load(target)
    if app is not None and app.store is None:
        raise UsageError(f"app {app.name!r} has no store", why="without one nothing is kept", fix="set CATGA_STORE")
    return app


@asynccontextmanager
async def letters_of(app: Catga | None, url: str | None) -> AsyncGenerator[DeadLetters, None]:
    """Its dead letters, without starting the app."""
    store = existing(url if app is None else app.store)
    transport = None if app is None else app.transport
    async with DeadLetters.open(store, transport=transport) as letters:
        yield letters


def existing(store: Any) -> Any:
    """A store that is there: looking for dead letters must not make an empty file of a mistyped name."""
    try:
        found = open_backend("store", store, SystemClock())
    except ConfigurationError as error:
        raise UsageError.of(error) from error
    file = file_of(found)
    if file is not None and not file.exists():
        raise UsageError(
            f"there is no store at {shown_backend(store)}", where=str(file), fix="check the path, or run the app once"
        )
    return found


def file_of(store: Any) -> Path | None:
    """The file of a store that is one."""
    file = getattr(getattr(store, "options", None), "absolute", None)
    return file if isinstance(file, Path) else None
