"""What `catga doctor` looks at in the servers an app talks to: do they answer, what are they, is their clock ours?"""

import time
from typing import Any

import msgspec

from catga.app import Catga
from catga.backends import open_backend
from catga.cli.checks import SKEW, Finding, wrong
from catga.clock import Clock
from catga.description import shown_backend
from catga.errors import CatgaError
from catga.ports.server import OnServer


async def check_carriers(app: Catga) -> list[Finding]:
    """The transport, where it is not the store's own queue, and the bus."""
    store = open_backend("store", app.store, app.clock)
    carrier = open_backend("transport", app.transport, app.clock)
    if store is not None and carrier is not None and carrier.capabilities.store_id == store.store_id:
        carrier = None
    given = {"transport": (app.transport, carrier), "bus": (app.bus, open_backend("bus", app.bus, app.clock))}
    return [
        await _check(role, shown_backend(named), backend, app.clock)
        for role, (named, backend) in given.items()
        if backend is not None
    ]


async def with_server(finding: Finding, backend: Any, clock: Clock) -> Finding:
    """The same, and what runs there; a warning where its clock and ours are apart."""
    if not isinstance(backend, OnServer):
        return finding
    before = clock.wall_ms()
    server = await backend.server()
    after = clock.wall_ms()
    found = f"{finding.found}; {server.product}"
    if server.wall_ms is None:
        return msgspec.structs.replace(finding, found=found)
    # It read its clock at some time in between: what that may account for is not held against it.
    apart = max(server.wall_ms - after, before - server.wall_ms, 0) / 1000
    if apart <= SKEW:
        return msgspec.structs.replace(finding, found=f"{found}, its clock is ours")
    side = "ahead of" if server.wall_ms > after else "behind"
    fix = "let both be set from one time service: what is due is due by ours, who is alive is so by the server's"
    return Finding(finding.what, "warning", f"{found}, its clock is {apart:.1f} s {side} ours", fix)


async def _check(role: str, shown: str | None, backend: Any, clock: Clock) -> Finding:
    try:
        started = time.perf_counter()
        await backend.open()
        took = (time.perf_counter() - started) * 1000
        try:
            return await with_server(Finding(role, "ok", f"{shown} was opened in {took:.1f} ms"), backend, clock)
        finally:
            await backend.close()
    except CatgaError as error:
        return wrong(role, error)
