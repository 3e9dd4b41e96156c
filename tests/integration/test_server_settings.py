"""Servers that are set up so that promises would break are refused at the start, with the settings to change."""

import uuid
from collections.abc import Mapping
from typing import Any

import asyncpg
import nats
import pytest
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from tests.integration.servers import server

from catga.backends import open_backend
from catga.backends.nats import NatsOptions, NatsTransport
from catga.backends.nats.streams import Stream
from catga.clock import SystemClock
from catga.errors import StoreMismatch, TransportMismatch
from catga.testing import run
from catga.testing.servers import Postgres, Valkey


async def opened(url: str) -> None:
    store = open_backend("store", url, SystemClock())
    await store.open()
    await store.close()


def refused(url: str) -> str:
    """What the error says of a server, and how to mend it."""
    with pytest.raises(StoreMismatch) as raised:
        run(opened(url))
    return f"{raised.value.what} -> {raised.value.fix}"


def test_a_postgresql_that_never_waits_for_its_disk() -> None:
    with Postgres(settings={"fsync": "off", "synchronous_commit": "off"}) as own:
        both, one = refused(own.url), refused(f"{own.url}?synchronous_commit=on")
        assert [("fsync off" in said, "synchronous_commit off" in said) for said in (both, one)] == [
            (True, True),
            (True, False),
        ]
        run(opened(f"{own.url}?durability=none"))


def test_a_postgresql_that_answers_before_it_has_written() -> None:
    schema = f"s{uuid.uuid4().hex[:12]}"
    url = f"{server('postgres')}?schema={schema}"
    assert "synchronous_commit=on to the URL" in refused(f"{url}&synchronous_commit=off")

    async def left() -> int:
        connection = await asyncpg.connect(server("postgres"))
        found: int = await connection.fetchval("select count(*) from pg_namespace where nspname = $1", schema)
        await connection.close()
        return found

    assert run(left()) == 0, "nothing was made before it was refused"


@pytest.mark.parametrize(
    ("settings", "asked", "named"),
    [
        ({"appendonly": "no"}, "", "CONFIG SET appendonly yes"),
        ({"appendfsync": "no"}, "", "CONFIG SET appendfsync everysec"),
        ({"appendfsync": "everysec"}, "durability=always", "CONFIG SET appendfsync always"),
        (
            {"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"},
            "durability=none",
            "CONFIG SET maxmemory-policy noeviction",
        ),
    ],
)
def test_a_redis_set_up_as_a_cache(settings: Mapping[str, str], asked: str, named: str) -> None:
    with Valkey(settings=settings) as own:
        assert named in refused(f"{own.url}?{asked}")


def test_a_redis_whose_losses_are_no_harm() -> None:
    with Valkey(settings={"appendonly": "no"}) as own:
        run(opened(f"{own.url}?durability=none"))


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"storage": StorageType.MEMORY}, "storage is memory"),
        ({"discard": DiscardPolicy.OLD}, "discard is old"),
        ({"max_msgs_per_subject": 10}, "max_msgs_per_subject is 10"),
        ({"allow_direct": False}, "allow_direct is"),
    ],
)
def test_a_stream_that_somebody_else_made(config: Mapping[str, Any], named: str) -> None:
    async def main() -> str:
        prefix = uuid.uuid4().hex[:16]
        transport = NatsTransport(NatsOptions.parse(f"{server('nats')}?prefix={prefix}"), SystemClock())
        await transport.open()
        try:
            ours = Stream(transport.link, "orders")
            right = {
                "storage": StorageType.FILE,
                "discard": DiscardPolicy.NEW,
                "allow_direct": True,
                "max_age": 7 * 86400,
                "duplicate_window": 120,
            }
            theirs = StreamConfig(
                name=ours.name,
                subjects=[f"{prefix}.{ours.name.removeprefix(f'{prefix}-')}.*", ours.urgent],
                **{**right, **config},
            )
            raw = await nats.connect(server("nats"))
            await raw.jetstream().add_stream(theirs)
            await raw.close()
            with pytest.raises(TransportMismatch) as raised:
                await transport.stream("orders")
            return str(raised.value)
        finally:
            await transport.close()

    assert named in run(main())
