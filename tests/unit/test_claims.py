"""Claim checks: a payload that is too large to travel stays in the blobs until all its handlers have ended."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.scene import Elsewhere, Scene

from catga import Batch, Catga, Command, Connection, Context, Event, Retry, Signing, Transaction, Wire, _core
from catga.backends.file import FileBlobs, FileOptions
from catga.envelope import Claimed, Codec, blob_of
from catga.envelope.record import CLAIMED, COMPRESSED
from catga.errors import BadPayload, BlobMissing, ConfigurationError, StoreUnavailable, TooLarge
from catga.ports.messages import Outgoing
from catga.testing import run

ID = bytes(range(16))
SMALL = Wire(claim_above=1_000)
LARGE = bytes(range(256)) * 20


class Stored(Event):
    data: bytes


class Store(Command[int]):
    data: bytes


class Go(Command):
    size: int = 5_120


def files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("blobs/??/*") if path.is_file()]


class Flaky(FileBlobs):
    """Fails where it is told to."""

    faults: dict[str, list[Exception]]

    def __init__(self, folder: Path) -> None:
        super().__init__(FileOptions(str(folder / "blobs")))
        self.faults = {}
        self.calls: list[str] = []

    def _fail(self, call: str) -> None:
        self.calls.append(call)
        if self.faults.get(call):
            raise self.faults[call].pop(0)

    async def put(self, name: str, data: bytes, until_ms: int) -> None:
        self._fail("put")
        await super().put(name, data, until_ms)

    async def get(self, name: str, most: int) -> bytes | None:
        self._fail("get")
        return await super().get(name, most)

    async def remove(self, names: Sequence[str]) -> None:
        self._fail("remove")
        await super().remove(names)


class Office:
    """An app with blobs, and what it has heard."""

    def __init__(self, folder: Path, *, elsewhere: bool = False, wire: Wire = SMALL, **options: Any) -> None:
        self.folder = folder
        self.scene = Scene()
        self.held: asyncio.Event | None = None
        self.blobs = Flaky(folder)
        self.queue: Elsewhere | None = self.scene.elsewhere() if elsewhere else None
        if self.queue is not None:
            options["transport"] = self.queue
        self.heard: list[tuple[str, int]] = []
        self.failing = 0
        self.wire = wire
        self.app = self.again(**options)

    def again(self, **options: Any) -> Catga:
        """Another instance."""
        app = self.scene.app("shop", blobs=self.blobs, wire=self.wire, **options)

        @app.handler(Stored, id="first", retry=Retry(delayed=3, first=10.0, jitter=0.0))
        async def first(event: Stored) -> None:
            if self.failing:
                self.failing -= 1
                raise ValueError
            self.heard.append(("first", len(event.data)))

        @app.handler(Stored, id="second")
        async def second(event: Stored) -> None:
            if self.held is not None:
                await self.held.wait()
            self.heard.append(("second", len(event.data)))

        @app.handler(Go)
        async def go(cmd: Go, ctx: Context) -> None:
            ctx.publish(Stored(bytes(cmd.size)))

        return app

    async def settled(self) -> None:
        await self.scene.run(self.app.settled())
        # What removes blobs does so by itself.
        await self.scene.clock.settle()

    def files(self) -> list[Path]:
        return files(self.folder)


BOTH = [("first", 5_120), ("second", 5_120)]


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("wire", [SMALL, Wire(claim_above=1_000, signing=Signing(keys={"a": bytes(32)}, sign="a"))])
def test_a_large_payload_stays_in_the_blobs_and_goes_when_its_handlers_have_ended(
    tmp_path: Path, elsewhere: bool, inside: bool, wire: Wire
) -> None:
    office = Office(tmp_path, elsewhere=elsewhere, wire=wire)

    async def main() -> None:
        scene, app = office.scene, office.app
        await scene.run(app.start(work=False))
        await scene.run(app.enqueue(Go()) if inside else app.publish(Stored(LARGE)))
        assert len(office.files()) == (0 if inside else 1)
        await scene.run(app.stop())
        async with scene.running(app):
            await office.settled()
        assert sorted(office.heard) == BOTH
        # Another app may read the same queue elsewhere: there it goes by its age.
        assert len(office.files()) == (1 if elsewhere else 0)
        await scene.clock.advance(31 * 86_400.0)
        async with scene.running(app):
            pass
        assert office.files() == []

    run(main())


def test_a_small_payload_travels(tmp_path: Path) -> None:
    office = Office(tmp_path)

    async def main() -> None:
        async with office.scene.running(office.app):
            await office.scene.run(office.app.publish(Stored(bytes(900))))
            await office.settled()
        assert sorted(office.heard) == [("first", 900), ("second", 900)]
        assert office.blobs.calls == []

    run(main())


def test_while_one_handler_waits_for_its_retry_the_payload_stays(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.failing = 1

    async def main() -> None:
        scene, app = office.scene, office.app
        async with scene.running(app):
            await scene.run(app.publish(Stored(LARGE)))
            await scene.clock.advance(1.0)
            assert office.heard == [("second", 5_120)]
            assert len(office.files()) == 1
            await office.settled()
        assert sorted(office.heard) == BOTH
        assert len(await scene.dead()) == 0

    run(main())


def test_a_handler_that_waits_since_before_a_crash_still_finds_the_payload(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.failing = 1

    async def main() -> None:
        scene, app = office.scene, office.app
        office.held = asyncio.Event()
        before = await scene.start(app)
        await scene.run(app.publish(Stored(LARGE)))
        await scene.clock.advance(1.0)
        await scene.crash(before)
        office.held = None
        again = office.again()
        async with scene.running(again):
            await scene.clock.advance(1.0)
            assert len(office.files()) == 1
            await scene.run(again.settled())
        assert sorted(office.heard) == BOTH
        assert len(await scene.dead()) == 0

    run(main())


def test_a_payload_that_is_gone_is_a_dead_letter_of_each_handler_and_may_be_replayed(tmp_path: Path) -> None:
    office = Office(tmp_path)

    async def main() -> None:
        from catga.deadletters import DeadLetters

        scene, app = office.scene, office.app
        await scene.run(app.start(work=False))
        await scene.run(app.publish(Stored(LARGE)))
        await scene.run(app.stop())
        (place,) = office.files()
        away = place.rename(tmp_path / "away")
        async with scene.running(app):
            await scene.run(app.publish(Stored(bytes(10))))
            await office.settled()
            assert sorted(office.heard) == [("first", 10), ("second", 10)]
            letters = await scene.dead()
            assert sorted(letter.handler for letter in letters) == ["first", "second"]
            assert {letter.failures for letter in letters} == {1}
            assert all(letter.reason.startswith("catga.envelope.claims.Claimed: [CTG-5005]") for letter in letters)
            away.rename(place)
            async with DeadLetters.open(scene.store(), clock=scene.clock) as dead:
                assert await scene.run(dead.replay_all()) == 2
            await office.settled()
        assert sorted(office.heard)[1::2] == BOTH

    run(main())


def test_what_was_handled_before_and_has_lost_its_payload_is_only_settled(tmp_path: Path) -> None:
    office = Office(tmp_path)

    async def main() -> None:
        scene, app = office.scene, office.app
        async with scene.running(app):
            codec = app._alive().delivery._codec  # type: ignore[union-attr]
            now = scene.clock.wall_ms()
            row = codec.encode(Stored(LARGE), ID, now, flags=1)
            await scene.run(app._alive().delivery.outbox.keep())  # type: ignore[union-attr]
            for _ in range(2):
                await scene.run(app._alive().delivery._transport.publish([row]))  # type: ignore[union-attr]
                await office.settled()
                assert office.files() == []
            assert sorted(office.heard) == BOTH
            assert app.statistics()["dead"] == 0

    run(main())


def test_blobs_that_do_not_answer_cost_the_message_a_try_and_its_neighbours_nothing(tmp_path: Path) -> None:
    office = Office(tmp_path, retry=Retry(delayed=3, first=10.0, jitter=0.0))
    office.blobs.faults["get"] = [StoreUnavailable("away")]

    async def main() -> None:
        scene, app = office.scene, office.app
        async with scene.running(app):
            await scene.run(app.publish(Stored(LARGE)))
            await scene.run(app.publish(Stored(bytes(10))))
            await scene.clock.advance(1.0)
            assert sorted(office.heard) == [("first", 10), ("second", 10)]
            await office.settled()
        assert sorted(office.heard)[1::2] == BOTH
        assert len(await scene.dead()) == 0

    run(main())


@pytest.mark.parametrize("how", ["transaction", "connection", "batch", "plain"])
def test_what_a_handler_publishes_is_in_the_blobs_before_its_commit_or_nothing_is(tmp_path: Path, how: str) -> None:
    """The put fails once: the handler is tried again, and nothing of the first try has left."""
    office = Office(tmp_path, retry=Retry(delayed=3, first=1.0, jitter=0.0))
    app = office.app
    office.blobs.faults["put"] = [StoreUnavailable("away")]

    class Made(Event):
        pass

    if how == "connection":
        app.store = f"sqlite:///{tmp_path}/shop.db"

    if how == "transaction":

        @app.handler(Made)
        async def transaction(event: Made, ctx: Context, tx: Transaction) -> None:
            ctx.publish(Stored(LARGE))

    elif how == "connection":

        @app.handler(Made)
        async def connection(event: Made, ctx: Context, tx: Connection) -> None:
            ctx.publish(Stored(LARGE))

    elif how == "batch":

        @app.handler(Made, batch=Batch(size=10, wait=0.01))
        async def batch(events: list[Made], ctx: Context) -> None:
            ctx.publish(Stored(LARGE))

    else:

        @app.handler(Made)
        async def plain(event: Made, ctx: Context) -> None:
            ctx.schedule(Stored(LARGE), delay=0.0)

    async def main() -> None:
        async with office.scene.running(app):
            await office.scene.run(app.publish(Made()))
            await office.scene.clock.advance(5.0)
            await office.settled()
        assert office.blobs.calls.count("put") == 2
        assert sorted(office.heard) == BOTH
        assert office.files() == []

    run(main())


@pytest.mark.parametrize("how", ["pure", "transaction", "connection"])
def test_send_gives_its_reply_after_the_payload_is_kept(tmp_path: Path, how: str) -> None:
    office = Office(tmp_path)
    app = office.app
    kinds: dict[str, Any] = {"transaction": Transaction, "connection": Connection}
    if how == "connection":
        app.store = f"sqlite:///{tmp_path}/shop.db"
    if how == "pure":

        @app.handler(Store)
        async def pure(cmd: Store, ctx: Context) -> int:
            ctx.publish(Stored(cmd.data))
            return 1

    else:

        async def writing(cmd: Store, ctx: Context, tx: Any) -> int:
            ctx.publish(Stored(cmd.data))
            return 1

        writing.__annotations__["tx"] = kinds[how]
        app.handler(Store)(writing)

    async def main() -> None:
        async with office.scene.running(app):
            assert await office.scene.run(app.send(Store(LARGE))) == 1
            assert "put" in office.blobs.calls
            await office.settled()
        assert sorted(office.heard) == BOTH

    run(main())


def codec(wire: Wire = SMALL, carries: int = 10**9, keeps: bool = True) -> Codec:
    return Codec([Stored], "shop", {}, wire, carries, keeps)


def claimed() -> tuple[bytes, bytes]:
    own = codec()
    frame = own.encode(Stored(LARGE), ID, 1, ext=b"\x81\xa1a\xa1b").frame
    ((kept),) = own.unkept
    return frame, kept.payload


def test_a_frame_says_which_blob_is_its() -> None:
    frame, payload = claimed()
    (item,) = codec().decode([frame])
    assert isinstance(item, Claimed)
    assert item.name == blob_of(frame)
    assert len(frame) < 300
    found = codec().redeem(item, payload)
    assert isinstance(found, tuple)
    assert found[0] == Stored(LARGE)
    assert found[1].headers == {"a": "b"}
    assert found[1].flags & CLAIMED
    assert blob_of(codec().encode(Stored(b""), ID, 1).frame) is None
    assert blob_of(b"no frame") is None


def test_another_content_is_refused() -> None:
    frame, payload = claimed()
    (item,) = codec().decode([frame])
    assert isinstance(item, Claimed)
    for wrong in (payload[:-1], payload + b"x", payload[:-1] + b"\x00", b""):
        assert type(codec().redeem(item, wrong)) is BadPayload


def test_it_is_compressed_before_it_is_put_aside() -> None:
    own = codec(Wire(claim_above=1_000, compress_above=1_000))
    assert own.encode(Stored(bytes(50_000)), ID, 1).frame[4] == COMPRESSED
    frame = own.encode(Stored(bytes(5_000_000) + LARGE), ID, 1).frame
    assert frame[4] in (COMPRESSED, COMPRESSED | CLAIMED)
    noise = bytes((n * n * 31 + n // 7) % 251 for n in range(20_000))
    frame = own.encode(Stored(noise), ID, 1).frame
    (item,) = own.decode([frame])
    assert isinstance(item, Claimed)
    found = own.redeem(item, own.unkept[-1].payload)
    assert isinstance(found, tuple)
    assert found[0] == Stored(noise)


@pytest.mark.parametrize("keeps", [False, True])
def test_a_frame_as_long_as_the_transport_carries_travels_and_none_above(keeps: bool) -> None:
    longest = len(codec(Wire()).encode(Stored(LARGE), ID, 1).frame) + 256
    assert codec(Wire(), longest, keeps).encode(Stored(LARGE), ID, 1).frame[4] == 0
    if keeps:
        assert codec(Wire(), longest - 1, keeps).encode(Stored(LARGE), ID, 1).frame[4] == CLAIMED
    else:
        with pytest.raises(TooLarge, match="blobs="):
            codec(Wire(), longest - 1, keeps).encode(Stored(LARGE), ID, 1)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", BadPayload),
        (msgspec.msgpack.encode([5, b"short"]), BadPayload),
        (msgspec.msgpack.encode([-1, bytes(32)]), BadPayload),
        (msgspec.msgpack.encode(["../../etc", bytes(32)]), BadPayload),
        (msgspec.msgpack.encode([17 * 1024 * 1024, bytes(32)]), TooLarge),
    ],
)
def test_a_claim_from_a_stranger_is_typed(payload: bytes, error: type[Exception]) -> None:
    frame = _core.pack(3, 0, 4, 1, ID, 1, 1, 0, "Stored", None, None, payload, CLAIMED)
    (found,) = codec().decode([frame])
    assert type(found) is error


def test_an_app_without_blobs_says_so(tmp_path: Path) -> None:
    frame, _ = claimed()
    (item,) = codec(Wire(), keeps=False).decode([frame])
    assert isinstance(item, BlobMissing)

    async def main() -> None:
        with pytest.raises(ConfigurationError) as caught:
            await Catga("x", wire=SMALL).start()
        assert "claim_above" in str(caught.value)
        with pytest.raises(ConfigurationError, match="outlive"):
            await Catga("x", wire=Wire(keep_days=6)).start()
        with pytest.raises(ConfigurationError, match="cannot be a blobs"):
            await Catga("x", blobs="memory://").start()

    run(main())


def test_a_claim_in_a_row_of_another_instance_without_blobs_is_kept_for_replay(tmp_path: Path) -> None:
    office = Office(tmp_path)

    async def main() -> None:
        scene = office.scene
        bare = scene.app("shop")

        @bare.handler(Stored)
        async def hear(event: Stored) -> None:
            office.heard.append(("bare", len(event.data)))

        frame, _ = claimed()
        async with scene.running(bare):
            transport = bare._alive().delivery._transport  # type: ignore[union-attr]
            now = scene.clock.wall_ms()
            frame = codec().encode(Stored(LARGE), ID, now).frame
            await scene.run(transport.publish([Outgoing(ID, "shop", 0, None, 4, now, frame)]))
            await scene.run(bare.settled())
        (letter,) = await scene.dead()
        assert "[CTG-5005]" in letter.reason
        assert office.heard == []

    run(main())


class Slow(Flaky):
    """Takes some turns of the loop, and waits where it is told to."""

    hold: asyncio.Event | None = None

    async def put(self, name: str, data: bytes, until_ms: int) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        await super().put(name, data, until_ms)

    async def get(self, name: str, most: int) -> bytes | None:
        if self.hold is not None:
            await self.hold.wait()
        return await super().get(name, most)


def test_a_publication_that_is_cancelled_at_any_step_is_heard_whole_or_not_at_all(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.app.blobs = Slow(tmp_path)

    async def main() -> None:
        scene, app = office.scene, office.app
        finished = 0
        async with scene.running(app):
            for steps in range(16):
                task = asyncio.ensure_future(app.publish(Stored(LARGE)))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                finished += not task.cancelled()
                await office.settled()
                delivery = app._alive().delivery
                assert delivery is not None
                assert delivery._codec.unkept == []
                assert app.statistics()["channels"]["shop"]["open"] == 0
            assert office.heard.count(("first", 5_120)) == office.heard.count(("second", 5_120)) >= finished
        assert len(await scene.dead()) == 0

    run(main())


def test_an_instance_that_stops_while_it_fetches_gives_the_message_back(tmp_path: Path) -> None:
    office = Office(tmp_path)
    slow = office.app.blobs = Slow(tmp_path)
    slow.hold = asyncio.Event()

    async def main() -> None:
        scene, app = office.scene, office.app
        async with scene.running(app):
            await scene.run(app.publish(Stored(LARGE)))
            await scene.clock.advance(1.0)
            assert office.heard == []
            await scene.run(app.stop(within=1.0))
        slow.hold = None
        async with scene.running(app):
            await office.settled()
        assert sorted(office.heard) == BOTH
        assert len(await scene.dead()) == 0

    run(main())
