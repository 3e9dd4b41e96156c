"""Memory: a store and a queue as strict as the real ones, that keep nothing."""

from catga.backends.memory.bus import MemoryBus
from catga.backends.memory.data import forget
from catga.backends.memory.options import MemoryOptions
from catga.backends.memory.queue import MemoryTransport
from catga.backends.memory.store import MemoryStore
from catga.clock import Clock

__all__ = ["MemoryBus", "MemoryOptions", "MemoryStore", "MemoryTransport", "bus", "forget", "store", "transport"]


def store(url: str, clock: Clock) -> MemoryStore:
    """`memory://` is one store object's own; `memory://name` is shared by all of one process, and gone with the last of
    them. Options in the query: see `MemoryOptions`."""
    return MemoryStore(MemoryOptions.parse(url), clock)


def transport(url: str, clock: Clock) -> MemoryTransport:
    """The queue of such a store. An app does not trust it with durable work: the queue of its own store serves it."""
    return MemoryTransport(store(url, clock))


def bus(url: str, clock: Clock) -> MemoryBus:
    """Within one process: `memory://name` for all its apps, `memory://` for one alone."""
    return MemoryBus(MemoryOptions.parse(url).name)
