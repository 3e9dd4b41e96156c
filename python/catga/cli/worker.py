"""One worker: an app in a process of its own, until it is asked to stop. Started by the supervisor."""

import asyncio
import contextlib
import faulthandler
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable

import msgspec

from catga.app import Catga
from catga.cli.process import keep_what_is_loaded, loop_factory
from catga.cli.report import Report
from catga.cli.signals import on_stop
from catga.cli.target import load
from catga.description import shown_backend
from catga.errors import CatgaError

COULD_NOT_START = 3
"""The exit code of a worker that was never ready."""

GRACE = 5.0
"""Seconds beyond the app's own time to stop; then a worker that is stuck shows where, and ends."""


class Orders(msgspec.Struct, frozen=True):
    """What a supervisor tells a worker. `lifeline` is a file descriptor that ends when the supervisor wants the worker
    to stop, or is no more."""

    target: str
    number: int = 1
    loop: str = "auto"
    log_level: str = "info"
    stop_within: float | None = None
    ephemeral: str = ""
    as_json: bool = False
    lifeline: int | None = None


def main(orders: Orders) -> int:
    """The exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    logging.getLogger("catga").setLevel(orders.log_level.upper())
    report = Report(orders.as_json)
    try:
        app = load(orders.target)
        with asyncio.Runner(loop_factory=loop_factory(orders.loop)) as runner:
            return runner.run(_serve(app, orders, report))
    except CatgaError as error:
        report.say("mistake", str(error), worker=orders.number)
        return COULD_NOT_START


async def _serve(app: Catga, orders: Orders, report: Report) -> int:
    within = app.stop_within if orders.stop_within is None else orders.stop_within
    stop = asyncio.Event()
    on_stop(stop.set)
    if orders.lifeline is not None:
        _watch(orders.lifeline, within, stop.set)
    try:
        await app.start()
    except CatgaError:
        raise
    except Exception:
        traceback.print_exc()
        return COULD_NOT_START
    keep_what_is_loaded()
    _tell_ready(app, orders, report)
    await stop.wait()
    faulthandler.dump_traceback_later(within + GRACE, exit=True)
    await app.stop(within)
    faulthandler.cancel_dump_traceback_later()
    report.say("stopped", f"worker {orders.number} stopped", worker=orders.number, pid=os.getpid())
    return 0


def _watch(lifeline: int, within: float, stop: Callable[[], None]) -> None:
    """In a thread, so that it notices even while a handler blocks the loop."""
    loop = asyncio.get_running_loop()
    os.set_inheritable(lifeline, False)

    def watch() -> None:
        os.read(lifeline, 1)
        faulthandler.dump_traceback_later(within + GRACE, exit=True)
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            loop.call_soon_threadsafe(stop)

    threading.Thread(target=watch, name="catga-lifeline", daemon=True).start()


def _tell_ready(app: Catga, orders: Orders, report: Report) -> None:
    store = shown_backend(app.store)
    if store is None:
        report.say("note", f"app {app.name} has no store: it takes nothing from other processes", worker=orders.number)
    elif app.store == orders.ephemeral:
        report.say("note", f"app {app.name} has no store: {store} is used, and gone afterwards", worker=orders.number)
    handlers = len(app.registrations())
    count = f"{handlers} handler{'s' if handlers != 1 else ''}"
    text = f"worker {orders.number} ready: app {app.name}, {count}, store {store or 'none'}, pid {os.getpid()}"
    report.say("ready", text, worker=orders.number, pid=os.getpid(), app=app.name, handlers=handlers, store=store)


if __name__ == "__main__":
    sys.exit(main(msgspec.json.decode(sys.argv[1], type=Orders)))
