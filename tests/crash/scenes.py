"""The servers of one run, and what took effect there, read with no help from the library but for the frames' own reader."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import asyncpg
import redis
from redis.exceptions import RedisError

from catga import _core
from catga.envelope import bare
from catga.queues.packs import unpacked
from catga.testing.servers import Nats, Postgres, Server, Valkey
from tests.crash.member import Ground

T = TypeVar("T")

LEASE = 3.0
TABLES = """
create table effects (seq bigserial primary key, key text, number int, worker text, at timestamptz default clock_timestamp());
create table echoes (seq bigserial primary key, key text, number int, worker text, at timestamptz default clock_timestamp());
"""
AWAY = (OSError, EOFError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, RedisError)
"""A server was killed a moment ago, or in the middle of a question."""

Effect = tuple[str, int]


class Scene(Protocol):
    """`effects` of steps, `echoes` of what these published."""

    servers: list[Server]
    ground: Ground

    def count(self, table: str) -> int:
        """So far."""
        ...

    def effects(self, table: str) -> list[Effect]:
        """In their order."""
        ...

    def longest_gap(self) -> float:
        """Seconds in which nothing took effect."""
        ...

    def history(self, table: str, key: str) -> list[str]:
        """What took effect for one key, in its order: a line each."""
        ...


class PostgresScene:
    """Effects are rows that handlers wrote."""

    def __init__(self, postgres: Postgres, nats: Nats | None, wrong: str) -> None:
        self._url = postgres.url
        self.servers: list[Server] = [postgres] if nats is None else [postgres, nats]
        store = f"{postgres.url}?lease={LEASE}&pool=2"
        self.ground = Ground(store, store if nats is None else f"{nats.url}?lease={LEASE}", wrong)
        self._with(lambda connection: connection.execute(TABLES))

    def count(self, table: str) -> int:
        return int(self._ask(f"select count(*) from {table}")[0][0])

    def effects(self, table: str) -> list[Effect]:
        return [(str(key), int(number)) for key, number in self._ask(f"select key, number from {table} order by seq")]

    def longest_gap(self) -> float:
        gaps = "select at - lag(at) over (order by at) as gap from effects"
        return float(self._ask(f"select coalesce(max(extract(epoch from gap)), 0) from ({gaps}) as gaps")[0][0])

    def history(self, table: str, key: str) -> list[str]:
        rows = self._ask(f"select seq, number, worker, at from {table} where key = '{key}' order by seq")
        return [f"{number}: row {seq} of worker {worker} at {at.isoformat()}" for seq, number, worker, at in rows]

    def _ask(self, sql: str) -> list[Any]:
        return self._with(lambda connection: connection.fetch(sql))

    def _with(self, work: Callable[[Any], Awaitable[T]]) -> T:
        async def main() -> T:
            connection = await asyncpg.connect(self._url)
            try:
                return await work(connection)
            finally:
                await connection.close()

        return asyncio.run(main())


class ValkeyScene:
    """Effects are messages that commits published, each in the place of its part's stream. They are kept for us: we are a
    reader who has read nothing."""

    def __init__(self, valkey: Valkey) -> None:
        self.servers: list[Server] = [valkey]
        url = f"{valkey.url}?lease={LEASE}&durability=ALWAYS"
        self.ground = Ground(url, url)
        self._client = redis.Redis.from_url(valkey.url)
        self._client.zadd("{catga}:readers:steps", {"observer": 1e18})
        self._after: dict[bytes, str] = {}
        self._found: dict[str, list[Effect]] = {"Stepped": [], "Echoed": []}
        self._times: list[float] = []

    def count(self, table: str) -> int:
        return len(self.effects(table))

    def effects(self, table: str) -> list[Effect]:
        self._read()
        return self._found["Stepped" if table == "effects" else "Echoed"]

    def longest_gap(self) -> float:
        return max((after - before for before, after in pairwise(sorted(self._times))), default=0.0)

    def history(self, table: str, key: str) -> list[str]:
        return [str(number) for of, number in self.effects(table) if of == key]

    def _read(self) -> None:
        for key in sorted(self._client.scan_iter("{catga}:queue:*:steps")):
            for entry, fields in self._client.xrange(key, min=self._after.get(key, "-")):
                self._after[key] = f"({entry.decode()}"
                for frame in unpacked(next(iter(fields.values()))):
                    unpacked_frame = _core.unpack(frame)
                    if (name := unpacked_frame[9]) in self._found:
                        content = bare(frame)
                        self._found[name].append((content["key"], content["number"]))
                        if name == "Stepped":
                            self._times.append(unpacked_frame[6] / 1e3)


@contextmanager
def scene(kind: str, wrong: str = "") -> Iterator[Scene]:
    """Started, with nothing in it."""
    if kind == "valkey":
        with Valkey(durable=True) as valkey:
            yield ValkeyScene(valkey)
        return
    with Postgres(settings={"max_connections": "300"}) as postgres:
        if kind == "postgres":
            yield PostgresScene(postgres, None, wrong)
        else:
            with Nats(sync=True) as nats:
                yield PostgresScene(postgres, nats, wrong)
