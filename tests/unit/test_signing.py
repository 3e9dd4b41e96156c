"""Signatures: nobody without a key makes or changes a message, an old one does not come twice, neighbours go on."""

import hashlib
import hmac
import logging
from typing import Any

import msgspec
import pytest
from tests.property.models.frame import crc32c
from tests.unit.scene import Elsewhere, Scene

from catga import Catga, Command, Context, Event, Headers, Signing, Wire, _core
from catga.envelope import Codec
from catga.errors import BadSignature, ConfigurationError, Replayed
from catga.ports import Sent
from catga.ports.messages import Outgoing
from catga.testing import run

ID = bytes(range(16))
OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
FIRST = Wire(signing=Signing(keys={"old": OLD}, sign="old"))
BOTH = Wire(signing=Signing(keys={"old": OLD, "new": NEW}, sign="new"))
LAST = Wire(signing=Signing(keys={"new": NEW}, sign="new"))


class Paid(Event, key="key"):
    cents: int
    key: str = "a"


def codec(wire: Wire) -> Codec:
    return Codec([Paid], "shop", {}, wire)


PLAIN = codec(Wire())


def frame_of(wire: Wire, ext: bytes | None = None, created_ms: int = 1) -> bytes:
    return codec(wire).encode(Paid(5), ID, created_ms, ext=ext).frame


def received(wire: Wire, frame: bytes, now_ms: int = 1) -> Any:
    (found,) = codec(wire).receive([frame], now_ms)
    return found[0] if isinstance(found, tuple) else found


def test_the_signature_is_that_of_the_page() -> None:
    frame = frame_of(FIRST)
    signed = b"catga envelope 1\0" + frame[:64] + frame[68:-32]
    assert frame[-32:] == hmac.new(OLD, signed, hashlib.sha256).digest()
    assert frame[64:68] == crc32c(frame[:64] + frame[68:]).to_bytes(4, "little")


def test_keys_are_rotated_without_a_gap() -> None:
    frames = [frame_of(FIRST), frame_of(BOTH)]
    assert [received(BOTH, frame) for frame in frames] == [Paid(5), Paid(5)]
    assert received(FIRST, frames[0]) == received(LAST, frames[1]) == Paid(5)
    assert type(received(LAST, frames[0])) is BadSignature
    assert "'old'" in str(received(LAST, frames[0]))
    (envelope,) = [item[1] for item in codec(BOTH).receive(frames[1:], 1) if isinstance(item, tuple)]
    assert envelope.headers == {"kid": "new"}


@pytest.mark.parametrize("count", [0, 1, 14, 15, 16, 40])
def test_the_name_of_the_key_joins_any_number_of_headers(count: int) -> None:
    given = {f"h{number}": "v" for number in range(count)}
    frame = frame_of(FIRST, msgspec.msgpack.encode(given))
    (found,) = codec(FIRST).receive([frame], 1)
    assert isinstance(found, tuple)
    assert found[1].headers == {**given, "kid": "old"}


def test_no_byte_can_be_changed() -> None:
    frame = frame_of(FIRST, b"\x81\xa1a\xa1b")
    for place in (*range(64), *range(68, len(frame))):
        changed = bytearray(frame)
        changed[place] ^= 1
        changed[64:68] = crc32c(bytes(changed[:64] + changed[68:])).to_bytes(4, "little")
        assert isinstance(received(FIRST, bytes(changed)), Exception), place
    # What is not covered is the checksum, which covers the rest.
    assert received(FIRST, frame) == Paid(5)


@pytest.mark.parametrize(
    ("payload", "ext", "flags"),
    [
        (b"", b"\x81\xa3kid\xa3old", 4),
        (bytes(31), b"\x81\xa3kid\xa3old", 4),
        (bytes(32), b"\x81\xa3kid\xa3old", 4),
        (bytes(40), None, 4),
        (bytes(40), b"\x80", 4),
        (bytes(40), b"\x81\xa3kid\xa0", 4),
        (b"\x81\xa5cents\x05", None, 0),
    ],
)
def test_what_is_not_signed_well_is_refused(payload: bytes, ext: bytes | None, flags: int) -> None:
    frame = _core.pack(3, 0, 4, 1, ID, 1, 1, 0, "Paid", None, ext, payload, flags)
    assert type(received(FIRST, frame)) is BadSignature


def test_headers_that_do_not_decode_are_no_way_around() -> None:
    frame = _core.pack(3, 0, 4, 1, ID, 1, 1, 0, "Paid", None, b"\xff", bytes(40), 4)
    assert getattr(received(FIRST, frame), "code", "") == "CTG-3014"


def test_while_an_app_goes_over_to_signing_both_are_accepted() -> None:
    going = Wire(signing=msgspec.structs.replace(FIRST.signing, required=False))
    assert received(going, PLAIN.encode(Paid(5), ID, 1).frame) == Paid(5)
    assert received(Wire(), frame_of(FIRST)) == Paid(5)
    changed = bytearray(frame_of(FIRST))
    changed[-1] ^= 1
    changed[64:68] = crc32c(bytes(changed[:64] + changed[68:])).to_bytes(4, "little")
    assert type(received(going, bytes(changed))) is BadSignature


def test_what_is_older_than_the_age_is_refused() -> None:
    young = Wire(signing=msgspec.structs.replace(FIRST.signing, max_age=60.0))
    frame = frame_of(young, created_ms=1_000)
    assert received(young, frame, 61_000) == Paid(5)
    assert type(received(young, frame, 61_001)) is Replayed
    assert received(FIRST, frame, 10**15) == Paid(5)
    later = codec(young).encode(Paid(5), ID, 1_000, 100_000).frame
    assert received(young, later, 160_000) == Paid(5)


@pytest.mark.parametrize(
    "signing",
    [
        Signing(keys={}, sign="a"),
        Signing(keys={"a": bytes(31)}, sign="a"),
        Signing(keys={"": bytes(32)}, sign=""),
        Signing(keys={"a" * 65: bytes(32)}, sign="a" * 65),
        Signing(keys={"a": bytes(32)}, sign="a", max_age=0.0),
        Signing(keys={"a": bytes(32)}, sign="a", max_age=7 * 86_400.0 + 1),
    ],
)
def test_what_could_not_be_kept_is_refused_at_start(signing: Signing) -> None:
    async def main() -> None:
        with pytest.raises(ConfigurationError) as caught:
            await Catga("x", wire=Wire(signing=signing)).start()
        assert len(caught.value.mistakes) == 1

    run(main())


def test_no_key_is_shown() -> None:
    assert "nnnn" not in repr(BOTH)
    assert "nnnn" not in str(BOTH)


class Office:
    """An app that signs, and what it has heard."""

    def __init__(self, elsewhere: bool, **options: Any) -> None:
        self.scene = Scene()
        self.queue: Elsewhere | None = self.scene.elsewhere() if elsewhere else None
        self.heard: list[int] = []
        self.app = self._app(wire=BOTH, **options)

    def _app(self, **options: Any) -> Catga:
        if self.queue is not None:
            options["transport"] = self.queue
        app = self.scene.app("shop", **options)

        @app.handler(Paid)
        async def paid(event: Paid) -> None:
            self.heard.append(event.cents)

        return app

    async def put(self, *frames: bytes) -> None:
        """Straight into the queue, as anybody may who reaches it."""
        rows = [Outgoing(frame[8:24], "shop", 0, b"a", 4, 0, frame) for frame in frames]
        queue = self.queue or self.app._alive().delivery._transport  # type: ignore[union-attr]
        assert set(await queue.publish(rows)) == {Sent.ACCEPTED}

    def row(self, number: int, wire: Wire) -> bytes:
        now = self.scene.clock.wall_ms()
        return codec(wire).encode(Paid(number), number.to_bytes(16), now).frame


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_stranger_goes_to_the_dead_letters_is_counted_told_of_once_and_harms_nobody(
    elsewhere: bool, caplog: pytest.LogCaptureFixture
) -> None:
    office = Office(elsewhere)
    forged = Wire(signing=Signing(keys={"new": OTHER}, sign="new"))

    async def main() -> None:
        scene, app = office.scene, office.app
        async with scene.running(app):
            frames = []
            for number in range(1, 61):
                kind = (BOTH, forged, FIRST, Wire())[number % 4]
                frames.append(office.row(number, kind))
            await scene.run(office.put(*frames))
            await scene.run(app.settled())
            assert sorted(office.heard) == [n for n in range(1, 61) if n % 4 in (0, 2)]
            statistics = app.statistics()
            assert (statistics["refused"], statistics["dead"]) == ({"CTG-3016": 30}, 30)
        letters = await scene.dead()
        assert len(letters) == 30
        assert all(letter.reason.startswith("[CTG-3016]") for letter in letters)

    with caplog.at_level(logging.WARNING, "catga"):
        run(main())
    told = [record for record in caplog.records if record.name.startswith("catga")]
    assert len(told) == 1
    assert "only counted" in told[0].getMessage()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_message_sent_again_changes_nothing(elsewhere: bool) -> None:
    office = Office(elsewhere)

    async def again(frame: bytes, times: int = 1) -> None:
        async with office.scene.running(office.app):
            await office.scene.run(office.put(*[frame] * times))
            await office.scene.run(office.app.settled())

    async def main() -> None:
        frame = office.row(1, BOTH)
        await again(frame)
        await again(frame, 2)
        await office.scene.clock.advance(3 * 86_400.0)
        await again(frame)
        assert (office.heard, len(await office.scene.dead())) == ([1], 0)
        # Beyond the window it is known to nobody any more, and refused for its age.
        await office.scene.clock.advance(6 * 86_400.0)
        await again(frame)
        assert (office.heard, len(await office.scene.dead())) == ([1], 1)

    run(main())


def test_what_was_accepted_is_tried_again_although_its_key_has_gone_and_its_age_has_passed() -> None:
    class Ask(Command):
        pass

    scene, runs = Scene(), []

    def app(wire: Wire) -> Catga:
        made = scene.app("shop", wire=wire)

        @made.handler(Ask)
        async def ask(cmd: Ask, ctx: Context) -> None:
            runs.append((ctx.tenant, ctx.headers["kid"]))
            if len(runs) == 1:
                raise ValueError

        return made

    async def main() -> None:
        short = Wire(signing=Signing(keys={"old": OLD}, sign="old", max_age=0.5))
        first = app(short)
        async with scene.running(first):
            await scene.run(first.enqueue(Ask(), headers=Headers(tenant="acme")))
            while not runs:
                await scene.clock.advance(0.01)
        await scene.clock.advance(60.0)
        last = app(LAST)
        async with scene.running(last):
            await scene.run(last.settled())

    run(main())
    assert runs == [("acme", "old")] * 2


def test_a_refused_message_is_replayed_once_its_key_is_known() -> None:
    office = Office(elsewhere=False)

    async def main() -> None:
        from catga.deadletters import DeadLetters

        scene = office.scene
        async with scene.running(office.app):
            await scene.run(office.put(office.row(1, Wire(signing=Signing(keys={"far": OTHER}, sign="far")))))
            await scene.run(office.app.settled())
        assert office.heard == []
        knows = Signing(keys={"new": NEW, "far": OTHER}, sign="new")
        office.app = office._app(wire=Wire(signing=knows))
        async with scene.running(office.app):
            async with DeadLetters.open(scene.store(), clock=scene.clock) as letters:
                assert await scene.run(letters.replay_all()) == 1
            await scene.run(office.app.settled())
        assert office.heard == [1]

    run(main())
