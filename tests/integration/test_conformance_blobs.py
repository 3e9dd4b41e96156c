"""Files, SQLite and PostgreSQL as places for large payloads, against the public suite."""

import asyncio
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.integration.servers import server

from catga import Catga, Wire
from catga.backends import open_backend
from catga.backends.file import FileBlobs, FileOptions
from catga.backends.postgres import PostgresBlobs, PostgresOptions
from catga.backends.sqlite import SqliteBlobs, SqliteOptions
from catga.clock import SystemClock
from catga.errors import (
    AppClosed,
    ConfigurationError,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)
from catga.testing.conformance import BlobsConformance
from catga.testing.conformance.blobs import NAME, MakeBlobs


class TestFiles(BlobsConformance):
    @pytest.fixture
    def make_blobs(self, tmp_path: Path) -> MakeBlobs:
        return lambda: FileBlobs(FileOptions(str(tmp_path / "deep" / "blobs")))


class TestSqlite(BlobsConformance):
    @pytest.fixture
    def make_blobs(self, tmp_path: Path) -> MakeBlobs:
        return lambda: SqliteBlobs(SqliteOptions(str(tmp_path / "blobs.db")))


class TestPostgres(BlobsConformance):
    @pytest.fixture
    def make_blobs(self) -> Iterator[MakeBlobs]:
        url, name = server("postgres"), f"test_{uuid.uuid4().hex}"
        yield lambda: PostgresBlobs(PostgresOptions.parse(f"{url}?schema={name}"))

        async def drop() -> None:
            connection = await asyncpg.connect(url)
            await connection.execute(f"drop schema if exists {name} cascade")
            await connection.close()

        asyncio.run(drop())


def files(folder: Path) -> list[Path]:
    return list(folder.glob("??/*"))


async def test_half_a_file_is_never_found_and_goes_with_its_age(tmp_path: Path) -> None:
    blobs = FileBlobs(FileOptions(str(tmp_path)))
    await blobs.open()
    await blobs.put(NAME, b"a", 5_000)
    (whole,) = files(tmp_path)
    half = whole.with_name(f"{NAME}.1-1.part")
    half.write_bytes(b"ha")
    os.utime(half, (1, 1))
    assert await blobs.get(NAME, 10) == b"a"
    assert await blobs.expire(4_000) == 0
    assert files(tmp_path) == [whole]


async def test_a_folder_that_cannot_be_used_is_typed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="file"):
        await FileBlobs(FileOptions(str(tmp_path / "file"))).open()


async def test_a_file_that_is_no_database_is_typed(tmp_path: Path) -> None:
    (tmp_path / "no.db").write_bytes(b"x" * 5_000)
    blobs = SqliteBlobs(SqliteOptions(str(tmp_path / "no.db")))
    with pytest.raises(StoreCorrupt):
        await blobs.open()
    with pytest.raises(AppClosed):
        await blobs.put(NAME, b"", 0)
    with pytest.raises(StoreUnavailable):
        await SqliteBlobs(SqliteOptions(str(tmp_path / "none" / "no.db"))).open()


async def test_a_server_that_is_not_there_is_typed() -> None:
    blobs = PostgresBlobs(PostgresOptions.parse("postgresql://nobody@127.0.0.1:1/none"))
    with pytest.raises(StoreError):
        await blobs.open()
    with pytest.raises(AppClosed):
        await blobs.get(NAME, 1)


async def test_the_urls_of_the_pages_open_them(tmp_path: Path) -> None:
    clock = SystemClock()
    assert isinstance(open_backend("blobs", f"file:///{tmp_path}/a", clock), FileBlobs)
    assert isinstance(open_backend("blobs", f"sqlite:///{tmp_path}/a.db", clock), SqliteBlobs)
    assert isinstance(open_backend("blobs", "postgresql://a@b/c", clock), PostgresBlobs)
    for wrong in ("file://", "file://host/a", "file:///a?b=1"):
        with pytest.raises(ConfigurationError):
            open_backend("blobs", wrong, clock)


async def test_the_file_of_the_store_cannot_hold_its_blobs(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    with pytest.raises(ConfigurationError, match="one file"):
        await Catga("x", store=url, blobs=url, wire=Wire(claim_above=10)).start()
