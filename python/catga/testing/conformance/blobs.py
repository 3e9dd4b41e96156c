"""What every place for large payloads must do."""

import asyncio
from collections.abc import Callable

import pytest

from catga.ports.blobs import Blobs
from catga.testing.conformance.base import Conformance, Opened

MakeBlobs = Callable[[], Blobs]

NAME, OTHER = f"{'ab' * 16}-{'cd' * 16}", f"{'ab' * 16}-{'ef' * 16}"
LARGE = bytes(range(256)) * 12_000


class BlobsConformance(Conformance):
    """Each call of `make_blobs` gives another object on the same data."""

    @pytest.fixture
    def make_blobs(self) -> MakeBlobs:
        """Override: a function that gives another object on the same data."""
        raise NotImplementedError("override the fixture make_blobs")

    @pytest.fixture
    def opened(self, make_blobs: MakeBlobs) -> Opened[Blobs]:
        """What tests open their blobs with."""
        return Opened(make_blobs)

    async def test_what_was_put_is_had_by_everybody(self, opened: Opened[Blobs]) -> None:
        one, two = await opened.open(), await opened.open()
        await one.put(NAME, LARGE, 1)
        await one.put(OTHER, b"", 1)
        assert await two.get(NAME, len(LARGE)) == LARGE
        assert await two.get(OTHER, 0) == b""
        assert await two.get(NAME[:-1] + "e", len(LARGE)) is None

    async def test_more_than_was_asked_for_is_not_given(self, opened: Opened[Blobs]) -> None:
        blobs = await opened.open()
        await blobs.put(NAME, bytes(1000), 1)
        assert await blobs.get(NAME, 999) is None
        assert await blobs.get(NAME, 1000) == bytes(1000)

    async def test_what_is_removed_is_gone_and_gone_again(self, opened: Opened[Blobs]) -> None:
        blobs = await opened.open()
        await blobs.put(NAME, b"a", 1)
        await blobs.put(OTHER, b"b", 1)
        for _ in range(2):
            await blobs.remove([NAME])
            assert await blobs.get(NAME, 10) is None
        await blobs.remove([])
        assert await blobs.get(OTHER, 10) == b"b"

    async def test_they_expire_by_their_own_times(self, opened: Opened[Blobs]) -> None:
        blobs = await opened.open()
        await blobs.put(NAME, b"a", 1_700_000_000_000)
        await blobs.put(OTHER, b"b", 1_700_000_000_001)
        assert await blobs.expire(1_700_000_000_000) == 0
        assert await blobs.expire(1_700_000_000_001) == 1
        assert [await blobs.get(name, 10) for name in (NAME, OTHER)] == [None, b"b"]

    async def test_put_again_it_has_the_later_time(self, opened: Opened[Blobs]) -> None:
        blobs = await opened.open()
        for until in (5_000, 9_000, 7_000):
            await blobs.put(NAME, b"a", until)
        assert await blobs.expire(8_000) == 0
        assert await blobs.get(NAME, 10) == b"a"

    async def test_many_may_put_at_once(self, opened: Opened[Blobs]) -> None:
        one, two = await opened.open(), await opened.open()
        names = [f"{number:032x}-{'0' * 32}" for number in range(20)]
        await asyncio.gather(*(blobs.put(name, name.encode(), 1) for name in names for blobs in (one, two, one)))
        assert [await one.get(name, 100) for name in names] == [name.encode() for name in names]

    async def test_a_cancelled_put_leaves_all_or_nothing(self, opened: Opened[Blobs]) -> None:
        blobs = await opened.open()
        for steps in range(6):
            name = f"{steps:032x}-{'1' * 32}"
            task = asyncio.ensure_future(blobs.put(name, LARGE, 1))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert await blobs.get(name, len(LARGE)) in (None, LARGE)
        await blobs.put(NAME, LARGE, 1)
        assert await blobs.get(NAME, len(LARGE)) == LARGE

    async def test_they_can_be_opened_again(self, opened: Opened[Blobs]) -> None:
        blobs = await opened.open()
        await blobs.put(NAME, b"a", 1)
        await blobs.close()
        await blobs.open()
        assert await blobs.get(NAME, 10) == b"a"
