"""`catga run` and `catga dev`: an app in processes of its own."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from catga.cli.arguments import AsJson, Target
from catga.cli.supervisor import Supervisor
from catga.cli.worker import Orders
from catga.errors import CatgaError


class Loop(StrEnum):
    """The event loop of the workers; auto is uvloop where it is installed."""

    AUTO = "auto"
    UVLOOP = "uvloop"
    ASYNCIO = "asyncio"


class Level(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


Workers = Annotated[int, typer.Option("--workers", "-w", min=1, help="Processes; they share the app's store.")]
Reload = Annotated[bool, typer.Option("--reload", help="Start again when a Python file changes.")]
Folders = Annotated[
    list[Path] | None, typer.Option("--reload-dir", exists=True, help="Folders to watch; default: this one.")
]
LoopName = Annotated[Loop, typer.Option("--loop", help="The event loop.")]
LogLevel = Annotated[Level, typer.Option("--log-level", help="What of Catga's own log is shown.")]
Within = Annotated[
    float | None, typer.Option("--stop-within", min=0, help="Seconds to stop in; default: the app's own.")
]


def run(
    target: Target,
    workers: Workers = 1,
    reload: Reload = False,
    reload_dir: Folders = None,
    loop: LoopName = Loop.AUTO,
    log_level: LogLevel = Level.INFO,
    stop_within: Within = None,
    as_json: AsJson = False,
) -> None:
    """Run an app in worker processes.

    They handle what is durable, are restarted when they die, and are stopped together by Ctrl-C or SIGTERM; a second
    Ctrl-C does not wait. Exit code 1 means that the app could not start, or that a worker had to be killed.
    """
    orders = Orders(target, loop=loop, log_level=log_level, stop_within=stop_within, as_json=as_json)
    _supervise(orders, workers, os.environ, (reload_dir or [Path()]) if reload else [])


def dev(target: Target, reload_dir: Folders = None, loop: LoopName = Loop.AUTO, as_json: AsJson = False) -> None:
    """Run an app while you write it.

    One worker that starts again when a file changes, verbose logs, and a temporary SQLite store where the app has none.
    """
    with tempfile.TemporaryDirectory(prefix="catga-dev-", ignore_cleanup_errors=True) as folder:
        url = f"sqlite:///{Path(folder, 'dev.db')}"
        # Of use to an app without a store of its own only: it looks here last.
        environment = {**os.environ, "CATGA_STORE": os.environ.get("CATGA_STORE") or url}
        orders = Orders(target, loop=loop, log_level=Level.DEBUG, ephemeral=url, as_json=as_json)
        _supervise(orders, 1, environment, reload_dir or [Path()])


def _supervise(orders: Orders, workers: int, environment: Mapping[str, str], folders: Sequence[Path]) -> None:
    async def supervise() -> int:
        supervisor = Supervisor(orders, workers, environment, reloads=bool(folders))
        return await supervisor.run(changes)

    changes = _changes(folders) if folders else None
    raise typer.Exit(asyncio.run(supervise()))


def _changes(folders: Sequence[Path]) -> AsyncIterator[str]:
    try:
        from watchfiles import PythonFilter, awatch  # pyright: ignore[reportUnknownVariableType] - anyio is optional to it
    except ModuleNotFoundError:
        raise CatgaError("watchfiles is not installed", fix="pip install 'catga[cli]', or leave --reload out") from None

    async def follow() -> AsyncIterator[str]:
        async for found in awatch(*folders, watch_filter=PythonFilter()):
            yield _relative(min(path for _, path in found))

    return follow()


def _relative(path: str) -> str:
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
