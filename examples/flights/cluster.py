"""`make demo-cluster`: the year over real servers. A gateway enqueues into PostgreSQL, a relay publishes to NATS JetStream,
two workers handle; all are processes of their own, and this one starts them and the servers, and keeps the accounts."""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import asyncpg

from catga.testing.servers import Nats, Postgres
from flights.account import Figures, account, straight
from flights.app import TABLES
from flights.data import departures
from flights.show import advance, console, progress, report

ROLES = ("gateway", "relay", "worker", "worker")
PATIENCE = 60.0
"""Seconds without anything done, after which the run has failed."""
EFFECTS = "select (select count(*) from departures) + (select count(*) from rebookings) + (select coalesce(sum(departed + delayed + cancelled), 0) from carriers)"


async def run(database: str, broker: str, most: int | None, expected: Figures, attempted: int) -> tuple[set[int], int]:
    """Everything from start to the last effect; what was acknowledged, and how many messages came again."""
    total = 2 * attempted + sum(cancelled for *_, cancelled in expected.values())
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "flights.member", role, database, broker),
            *([str(most)] if most is not None else []),
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        for role in ROLES
    ]
    acknowledged: set[int] = set()

    async def listen(gateway: asyncio.subprocess.Process) -> None:
        assert gateway.stdout is not None
        async for line in gateway.stdout:
            acknowledged.update(map(int, line.split()))

    ledger = asyncio.create_task(listen(processes[0]))
    connection = await asyncpg.connect(database)
    started = moved = time.perf_counter()
    done = 0
    with progress() as bar:
        task = bar.add_task("messages", total=total, rate=0, p50="-", p99="-")
        while done < total and time.perf_counter() - moved < PATIENCE:
            await asyncio.sleep(0.25)
            before, done = done, int(await connection.fetchval(EFFECTS))
            now = time.perf_counter()
            moved = now if done > before else moved
            advance(bar, task, done, now - started, {"latency_p50_ms": 0, "latency_p99_ms": 0})
    seconds = time.perf_counter() - started
    await connection.close()
    for process in processes[1:]:
        process.terminate()
    said = [await process.communicate() for process in processes[1:]]
    await ledger
    codes = [await process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"a process did not end cleanly: {list(zip(ROLES, codes, strict=True))}")
    console.print(f"{attempted / seconds:,.0f} departures/s, start of the processes included, in {seconds:.1f} s")
    return acknowledged, sum(int(out) for out, _ in said)


def asker(database: str) -> Callable[[str], Sequence[Sequence[Any]]]:
    """Of PostgreSQL."""

    def ask(sql: str) -> Sequence[Sequence[Any]]:
        async def fetch() -> Sequence[Sequence[Any]]:
            connection = await asyncpg.connect(database)
            try:
                return [tuple(row) for row in await connection.fetch(sql)]
            finally:
                await connection.close()

        return asyncio.run(fetch())

    return ask


async def make_tables(database: str) -> None:
    """The app's own, before anything runs."""
    connection = await asyncpg.connect(database)
    await connection.execute(TABLES)
    await connection.close()


def main() -> int:
    """The exit status."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--most", type=int, help="only so many departures")
    chosen = options.parse_args()
    data = list(departures(chosen.most))
    expected = straight(data)
    with ExitStack() as servers:
        database = servers.enter_context(Postgres()).url
        broker = servers.enter_context(Nats(sync=True)).url
        asyncio.run(make_tables(database))
        acknowledged, redelivered = asyncio.run(run(database, broker, chosen.most, expected, len(data)))
        result = account(asker(database), len(data), acknowledged, redelivered, expected, parked="catga.parked")
    return report(result)


if __name__ == "__main__":
    raise SystemExit(main())
