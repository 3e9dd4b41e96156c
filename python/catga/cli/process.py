"""A process that does nothing but run an app: the fastest loop there is, and a collector that looks at what is new."""

import asyncio
import gc
from collections.abc import Callable

from catga.errors import CatgaError

YOUNG = 10_000
"""Objects that are new when the collector looks at them. What a few hundred messages in hand need comes to less, and is
freed without being looked at; at Python's own 700 it is looked at up to three times (4 µs a message and more, measured)."""


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Of `auto` (uvloop where it is installed), `uvloop` or `asyncio`; None is asyncio's own."""
    if name == "asyncio":
        return None
    try:
        import uvloop
    except ModuleNotFoundError:
        if name == "auto":
            return None
        raise CatgaError("uvloop is not installed", fix="pip install 'catga[uvloop]', or --loop asyncio") from None
    return uvloop.new_event_loop


def keep_what_is_loaded() -> None:
    """Once everything is imported and started: it stays until the process ends, and is not searched for garbage again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
