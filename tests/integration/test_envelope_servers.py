"""Envelopes over real servers: NATS carries, PostgreSQL keeps."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from tests.integration.servers import server

from catga import Catga, Command, Context, Event, Headers, Signing, Transaction, Wire
from catga.errors import TooLarge

SIGNING = Signing(keys={"a": bytes(32)}, sign="a")
LARGE = bytes((n * n * 31 + n // 7) % 251 for n in range(3_000_000))


class Store(Command):
    data: bytes


class Stored(Event, codec="raw"):
    data: bytes


@asynccontextmanager
async def schema() -> AsyncIterator[str]:
    """A URL with a schema of its own, gone after the test."""
    url, name = server("postgres"), f"test_{uuid.uuid4().hex}"
    try:
        yield f"{url}?schema={name}"
    finally:
        connection = await asyncpg.connect(url)
        await connection.execute(f"drop schema if exists {name} cascade")
        await connection.close()


def nats() -> str:
    return f"{server('nats')}?prefix={uuid.uuid4().hex[:16]}"


@pytest.mark.parametrize("wire", [Wire(), Wire(compress_above=1_000, signing=SIGNING)])
async def test_a_payload_above_what_nats_carries_arrives_with_its_headers(wire: Wire) -> None:
    heard: list[tuple[bytes, str | None, str | None]] = []
    done = asyncio.Event()
    async with schema() as url:
        app = Catga("shop", store=url, transport=nats(), blobs=url, wire=wire)

        @app.handler(Store)
        async def store(cmd: Store, ctx: Context, tx: Transaction) -> None:
            ctx.publish(Stored(cmd.data))

        @app.handler(Stored)
        async def stored(event: Stored, ctx: Context) -> None:
            heard.append((event.data, ctx.tenant, ctx.causation_id))
            done.set()

        async with app:
            receipt = await app.enqueue(Store(LARGE), headers=Headers(tenant="acme"))
            await asyncio.wait_for(done.wait(), 30)
            await app.settled()
            statistics = app.statistics()
        assert heard == [(LARGE, "acme", receipt.id)]
        assert (statistics["dead"], statistics["refused"]) == (0, {})


async def test_without_blobs_such_a_payload_is_refused_and_others_go_on() -> None:
    heard: list[int] = []
    done = asyncio.Event()
    async with schema() as url:
        app = Catga("shop", store=url, transport=nats())

        @app.handler(Stored)
        async def stored(event: Stored) -> None:
            heard.append(len(event.data))
            done.set()

        async with app:
            with pytest.raises(TooLarge, match="blobs="):
                await app.publish(Stored(LARGE))
            await app.publish(Stored(b"abc"))
            await asyncio.wait_for(done.wait(), 30)
    assert heard == [3]
