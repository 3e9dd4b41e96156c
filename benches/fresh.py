"""What only a fresh process can tell: memory, the cost of an import, and what it brings along."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from benches.runner import Group, Row, fixed

QUEUE = """
import os
from collections import deque
from catga._core import Lanes

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

N, STEP = 1_000_000, 1_000
def messages(start):
    return [number.to_bytes(100, "little") for number in range(start, start + STEP)]

{make}
before = resident()
for start in range(0, N, STEP):
    put(messages(start))
print((resident() - before) / 2**20)
"""
DEQUE = "queue = deque(); put = queue.extend"
LANES = "queue = Lanes(N); put = lambda batch: queue.put_many(batch, None, 4, 0)"
KEYED = """
queue = Lanes(N)
keys = [b"%d" % number for number in range(STEP)]
put = lambda batch: queue.put_many(batch, keys, 4, 0)
"""

# With its byte code cached, as every installed package has it; the first round fills the cache.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

IMPORT = """
from time import perf_counter
{first}
start = perf_counter()
import {name}
print((perf_counter() - start) * 1000)
"""

# Whatever a bare interpreter has is the environment's doing, and what msgspec asks for is msgspec's.
FOREIGN = """
import sys, msgspec
before = set(sys.modules)
import catga
found = {name.partition(".")[0] for name in set(sys.modules) - before}
print(len(found - sys.stdlib_module_names - {"catga"}))
"""


def printed(source: str) -> Callable[[], Awaitable[float]]:
    """The number that a fresh interpreter prints."""

    async def timed() -> float:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", source, stdout=asyncio.subprocess.PIPE, env=ENVIRONMENT
        )
        out, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"the process failed:\n{source}")
        return float(out)

    return timed


def memory_rows() -> list[Row]:
    """What a million messages of 100 bytes add to the resident set."""
    return [
        Row("catga Lanes", printed(QUEUE.format(make=LANES))),
        Row("catga Lanes, 1,000 keys", printed(QUEUE.format(make=KEYED))),
        Row("deque", printed(QUEUE.format(make=DEQUE))),
    ]


def import_rows() -> list[Row]:
    """Ours on top of asyncio, and asyncio itself."""
    return [
        Row("import catga, asyncio imported", printed(IMPORT.format(first="import asyncio", name="catga"))),
        Row("import asyncio", printed(IMPORT.format(first="", name="asyncio"))),
        Row("import msgspec, asyncio imported", printed(IMPORT.format(first="import asyncio", name="msgspec"))),
    ]


def foreign_rows() -> list[Row]:
    """Nothing but the standard library and msgspec may come along."""
    return [Row("import catga", printed(FOREIGN))]


GROUPS = [
    Group("one million queued messages", fixed(memory_rows), unit="MiB", loops=("uvloop",), rounds=7),
    Group("import", fixed(import_rows), unit="ms", loops=("uvloop",), rounds=15),
    Group("foreign modules imported", fixed(foreign_rows), unit="modules", loops=("uvloop",), rounds=1),
]
