"""What `catga doctor` looks at in an app: its mistakes, its store, who works on it now, what was given up, its
servers."""

import time
from collections import Counter
from typing import Any

from catga.app import Catga
from catga.backends import open_backend
from catga.cli.checks import Finding, wrong
from catga.cli.servercheck import check_carriers, with_server
from catga.description import describe, shown_backend
from catga.errors import CatgaError

MANY = 1000
"""Dead letters that are counted; beyond, there are simply many."""


async def check_app(app: Catga) -> list[Finding]:
    """Opens the app's store; does not start the app."""
    mistakes = [Finding("app", "wrong", mistake) for mistake in describe(app).mistakes]
    if mistakes:
        return mistakes
    found = [Finding("app", "ok", f"{app.name}: {len(app.registrations())} handlers")]
    if app.store is None:
        fix = "give it store='sqlite:///app.db' or set CATGA_STORE, if anything must survive the process"
        found.append(Finding("store", "warning", "none: nothing is kept", fix))
    else:
        found += await _check_store(app)
    return found + await check_carriers(app)


async def _check_store(app: Catga) -> list[Finding]:
    shown = shown_backend(app.store) or ""
    try:
        store: Any = open_backend("store", app.store, app.clock)
        await store.open()
    except CatgaError as error:
        return [wrong("store", error)]
    try:
        started = time.perf_counter()
        await store.forget(0)  # a commit that changes nothing
        took = (time.perf_counter() - started) * 1000
        written = Finding("store", "ok", f"{shown} was opened and written in {took:.1f} ms")
        found = [await with_server(written, store, app.clock)]
        if store.store_id.startswith("sqlite:"):
            found.append(await _leases(store, app.clock.wall_ms()))
        return [*found, await _dead(store)]
    except CatgaError as error:
        return [wrong("store", error)]
    finally:
        await store.close()


async def _leases(store: Any, now: int) -> Finding:
    rows = await store.fetch("select scope, owner, expires_ms from catga_leases where owner is not null", ())
    held = Counter(scope for scope, _, expires in rows if expires > now)
    owners = {owner for _, owner, expires in rows if expires > now}
    expired = Counter(scope for scope, _, expires in rows if expires <= now)
    latest = max((expires for _, _, expires in rows), default=0)
    shown = (
        ", ".join(f"{scope}: {count} parts" for scope, count in sorted(held.items()))
        or "none is held: no instance runs"
    )
    instances = f" by {len(owners)} instance{'s' if len(owners) != 1 else ''}" if owners else ""
    if latest > now + store.options.lease * 1000 + 1000:
        ahead = (latest - now) / 1000 - store.options.lease
        fix = "let the clock be set right; until they expire their parts stand still"
        return Finding(
            "leases",
            "wrong",
            f"{shown}{instances}; one ends {ahead:.0f} s later than it may: the clock was set back",
            fix,
        )
    if expired:
        left = ", ".join(f"{scope}: {count} parts" for scope, count in sorted(expired.items()))
        fix = "nothing: a process has ended without a word, the next one takes its parts over"
        return Finding("leases", "warning", f"{shown}{instances}; expired, not given back: {left}", fix)
    return Finding("leases", "ok", f"{shown}{instances}")


async def _dead(store: Any) -> Finding:
    rows = await store.dead(MANY)
    if not rows:
        return Finding("dead letters", "ok", "none")
    by_handler = Counter(row.handler or "(no handler)" for row in rows)
    shown = ", ".join(f"{handler}: {count}" for handler, count in by_handler.most_common(5))
    more = "at least " if len(rows) == MANY else ""
    return Finding(
        "dead letters",
        "warning",
        f"{more}{len(rows)}; {shown}",
        "catga dlq list; after the cause is mended, catga dlq replay",
    )
