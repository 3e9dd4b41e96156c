"""A consumer that does not get on, before a million messages: what waits stays where it is, not in its memory."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.integration.stalled import Order

from catga.backends import open_backend
from catga.clock import SystemClock
from catga.envelope import Codec
from catga.ports.transport import Sent
from catga.testing.servers import Nats, Postgres, Valkey

MESSAGES = int(os.environ.get("CATGA_STALLED", "1000000"))
LIST = 5000
MOST = 64.0
"""MiB."""


@contextmanager
def backend(kind: str, folder: Path) -> Iterator[tuple[str, str]]:
    """URLs of a store and a transport."""
    with ExitStack() as servers:
        if kind == "sqlite":
            url = f"sqlite:///{folder}/stalled.db"
        elif kind == "valkey":
            url = servers.enter_context(Valkey()).url
        else:
            url = servers.enter_context(Postgres()).url
        yield url, servers.enter_context(Nats()).url if kind == "nats" else url


async def fill(store: str, transport: str) -> None:
    """All of them, by many customers."""
    clock = SystemClock()
    codec = Codec([Order], "stalled", {})
    opened = open_backend("store", store, clock)
    await opened.open()
    await opened.declare(["stalled"])
    carrier = opened.queue() if store == transport else open_backend("transport", transport, clock)
    await carrier.open()
    now = clock.wall_ms()
    for start in range(0, MESSAGES, LIST):
        rows = [
            codec.encode(Order(f"customer-{n % 1000}", "leave it with the neighbour, please"), n.to_bytes(16), now)
            for n in range(start, start + LIST)
        ]
        assert {Sent.ACCEPTED} == set(await carrier.publish(rows))
    await carrier.close()
    await opened.close()


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["sqlite", "postgres", "nats", "valkey"])
def test_memory_stays_small(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with backend(kind, tmp_path) as (store, transport):
        asyncio.run(fill(store, transport))
        command = [sys.executable, "-m", "tests.integration.stalled", store, transport, "15"]
        grown, begun = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        with capsys.disabled():
            print(
                f"\n{kind}: {MESSAGES:,} messages waiting, {int(begun):,} handlers begun, grown by {float(grown):.1f} MiB"
            )
        assert int(begun) > 0
        assert float(grown) < MOST
