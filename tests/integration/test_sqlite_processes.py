"""Two real processes on one SQLite file: what they race for is had once."""

import asyncio
import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.integration.sqlite import opened, program, with_table

from catga.ports import Unit
from catga.testing.conformance.base import committed, message, parked

RACE = """
import asyncio, json, random, sys
from pathlib import Path
from catga.ports import Unit
from catga.testing.conformance.base import CHANNEL, HANDLER, fates, id_of, mark, message, parked
from catga.transaction import Statement
from tests.integration.sqlite import opened

path, who, synchronous = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

async def main():
    async with opened(path, synchronous=synchronous) as store:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        won = []
        # Each in an order of its own: whoever is ahead cannot win them all.
        ids = random.Random(who).sample(range(600), 600)
        for start in range(0, 600, 10):
            group = ids[start : start + 10]
            units = [
                Unit(marks=[mark(n)], publish=[message(1000 * who + n, b"k", part=who)],
                     statements=[Statement("insert into things values (?, ?, null)", (n, str(who)))])
                for n in group
            ]
            outcomes = await store.commit(units)
            won += [n for n, outcome in zip(group, outcomes) if outcome.commit.value == "committed"]
            assert all(outcome.commit.value in ("committed", "duplicate") for outcome in outcomes), outcomes
            await asyncio.sleep(0)
        ended = []
        for n in range(100):
            (outcome,) = await store.commit([Unit(unpark=[(HANDLER, id_of(n))])])
            if outcome.commit.value == "committed":
                ended.append(n)
        print(json.dumps({"won": won, "ended": ended}))

asyncio.run(main())
"""

COMPETE = """
import asyncio, json, sys
from pathlib import Path
from catga.ports import Unit
from catga.testing.conformance.base import CHANNEL
from tests.integration.sqlite import opened

path, who, synchronous = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

async def main():
    async with opened(path, synchronous=synchronous, lease=0.6) as store:
        transport = store.queue()
        await transport.open()
        consumer = await transport.consume(CHANNEL, who, store)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        handled = []
        quiet = 0
        while quiet < 4:
            found = await consumer.receive(40, 0.25)
            quiet = 0 if found else quiet + (await store.pending() == 0)
            units = [Unit(settle=[delivery.token], leases=[delivery.lease]) for delivery in found]
            outcomes = await store.commit(units)
            consumer.settled([delivery.token for delivery in found])
            handled += [
                (delivery.part, int(delivery.frame))
                for delivery, outcome in zip(found, outcomes)
                if outcome.commit.value == "committed"
            ]
            await asyncio.sleep(0.002)
        await consumer.stop()
        await transport.close()
        print(json.dumps(handled))

asyncio.run(main())
"""


def together(code: str, path: Path, synchronous: str, count: int = 2) -> list[Any]:
    """Starts processes, lets them go at once, and gives what each said at its end."""
    processes = [
        subprocess.Popen(
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **program(code, path, who, synchronous)
        )
        for who in range(count)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate(timeout=60)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0] * count
    return [json.loads(line) for line in said]


@pytest.mark.parametrize("synchronous", ["NORMAL", "FULL"])
def test_what_is_raced_for_is_had_once(tmp_path: Path, synchronous: str) -> None:
    path = tmp_path / "app.db"

    async def before() -> None:
        async with opened(path) as store:
            await with_table(store)
            await committed(store, Unit(park=[parked(n) for n in range(100)]))

    async def after() -> tuple[list[Any], list[Any], int]:
        async with opened(path) as store:
            rows = await store.fetch("select id, name from things order by id", ())
            sent = await store.outbox((await store.claim("relay", "a", 2, 10.0)).leases, 10_000)
            return list(rows), [int(row.frame) for row in sent], await store.pending()

    asyncio.run(before())
    first, second = together(RACE, path, synchronous)
    rows, sent, pending = asyncio.run(after())
    assert sorted(first["won"] + second["won"]) == list(range(600))
    assert min(len(first["won"]), len(second["won"])) > 0, "they did not race"
    assert rows == sorted([(n, "0") for n in first["won"]] + [(n, "1") for n in second["won"]])
    assert sent == [*first["won"], *(1000 + n for n in second["won"])]
    assert sorted(first["ended"] + second["ended"]) == list(range(100))
    assert pending == 600


@pytest.mark.parametrize("synchronous", ["NORMAL", "FULL"])
def test_competing_processes_handle_everything_once_in_order(tmp_path: Path, synchronous: str) -> None:
    path = tmp_path / "app.db"

    async def publish() -> None:
        async with opened(path) as store:
            store.queue()
            for start in range(0, 3200, 320):
                await committed(store, Unit(publish=[message(n, b"k", n % 16) for n in range(start, start + 320)]))

    asyncio.run(publish())
    handled = together(COMPETE, path, synchronous, 3)
    counts = Counter(number for each in handled for _, number in each)
    assert counts == Counter(range(3200))
    for each in handled:
        last: dict[int, int] = {}
        for part, number in each:
            assert number > last.get(part, -1)
            last[part] = number
    assert sum(bool(each) for each in handled) >= 2, "they did not compete"
