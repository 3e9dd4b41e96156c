"""Content types and compression: chosen by class or channel, read whatever was chosen, bounded on the way in."""

import sys
import tracemalloc
from typing import Any

import msgspec
import pytest
from backports import zstd
from tests.unit.scene import Scene

from catga import Catga, Command, Context, Event, Wire, _core
from catga.envelope import Codec, Decoded, bare
from catga.errors import (
    BadPayload,
    ConfigurationError,
    MessageDefinitionError,
    TooLarge,
    UnknownBackend,
    UnknownContentType,
    UnknownVersion,
)
from catga.testing import run

ID = bytes(range(16))
AS_IT_COMES = Wire()


class Plain(Event):
    text: str
    blob: bytes = b""


class AsJson(Event, codec="json"):
    text: str
    blob: bytes = b""


class Audited(Event, channel="audit"):
    text: str


class Image(Event, codec="raw"):
    data: bytes


TYPES: list[Any] = [Plain, AsJson, Audited, Image]


def codec(wire: Wire = AS_IT_COMES) -> Codec:
    return Codec(TYPES, "shop", {}, wire)


def payload_of(frame: bytes) -> bytes:
    return bytes(_core.unpack(frame, len(frame))[12])


def only(found: list[Decoded]) -> Any:
    (one,) = found
    return one[0] if isinstance(one, tuple) else one


def framed(payload: bytes, number: int = 0, flags: int = 0, name: str = "Plain", version: int = 1) -> bytes:
    return _core.pack(3, number, 4, version, ID, 1, 1, 0, name, None, None, payload, flags)


@pytest.mark.parametrize(
    ("message", "wire", "payload"),
    [
        (Plain("a", b"\xff"), Wire(), msgspec.msgpack.encode(Plain("a", b"\xff"))),
        (Plain("a"), Wire(codec="json"), b'{"text":"a","blob":""}'),
        (AsJson("a", b"\xff"), Wire(), b'{"text":"a","blob":"/w=="}'),
        (AsJson("a"), Wire(codec="msgpack", channels={"shop": "msgpack"}), b'{"text":"a","blob":""}'),
        (Audited("a"), Wire(channels={"audit": "json"}), b'{"text":"a"}'),
        (Plain("a"), Wire(channels={"audit": "json"}), msgspec.msgpack.encode(Plain("a"))),
        (Image(b"\x00\xff" * 9), Wire(codec="json"), b"\x00\xff" * 9),
        (Image(b"x" * 20_000), Wire(), b"x" * 20_000),
    ],
)
def test_a_message_is_written_as_its_class_or_else_its_channel_says(message: Any, wire: Wire, payload: bytes) -> None:
    frame = codec(wire).encode(message, ID, 1).frame
    assert payload_of(frame) == payload
    # Whoever reads it need not have chosen the same.
    assert only(codec().decode([frame])) == only(codec(Wire(codec="json")).decode([frame])) == message
    assert bare(frame) == (msgspec.to_builtins(message) if not isinstance(message, (Image, Plain)) else bare(frame))


def test_what_no_class_is_known_for_is_plain_data() -> None:
    many = codec(Wire(compress_above=10))
    assert bare(many.encode(Plain("ab" * 50), ID, 1).frame) == {"text": "ab" * 50, "blob": b""}
    assert bare(many.encode(AsJson("ab" * 50), ID, 1).frame) == {"text": "ab" * 50, "blob": ""}
    assert bare(many.encode(Image(b"ab" * 50), ID, 1).frame) == b"ab" * 50


def test_a_raw_class_may_read_json_after_its_codec_was_changed() -> None:
    frame = framed(b'{"data":"/w=="}', 1, name="Image")
    assert only(codec().decode([frame])) == Image(b"\xff")


@pytest.mark.parametrize(
    ("frame", "error", "where"),
    [
        (framed(b"\x80", 3), UnknownContentType, "content type 3"),
        (framed(b"\x80", 0, 0, "Plain", 0), UnknownVersion, "version 0"),
        (framed(b"\x80", 255), UnknownContentType, "content type 255"),
        (framed(b"\x80", 2), UnknownContentType, "raw bytes"),
        (framed(b"\x80", 2, name="Audited"), BadPayload, "does not decode"),
        (framed(b"\x80", 0, 64), UnknownContentType, "flags 0x40"),
        (framed(b"\x80", 0, 2), BadPayload, "decompress"),
        (framed(zstd.compress(b"\x81\xa4text\xa1a")[:-1], 0, 2), BadPayload, "one whole zstd frame"),
        (framed(zstd.compress(b"\x81\xa4text\xa1a") + b"x", 0, 2), BadPayload, "one whole zstd frame"),
        (framed(b"", 0, 2), BadPayload, "one whole zstd frame"),
        (framed(b"{", 1), BadPayload, "does not decode"),
        (framed(b"[" * 100_000, 1), BadPayload, "does not decode"),
        (framed(b"\x91" * 100_000), BadPayload, "does not decode"),
        (framed(b"\x81\xa4text\xa1\xff"), BadPayload, "does not decode"),
        (framed(b"\x80", 0, 0, "Plain", 2), UnknownVersion, "version 2"),
    ],
)
def test_what_cannot_be_read_is_typed_and_its_neighbours_are_read(frame: bytes, error: Any, where: str) -> None:
    good = codec().encode(Plain("a"), ID, 1).frame
    first, bad, last = codec().decode([good, frame, good])
    assert isinstance(first, tuple)
    assert isinstance(last, tuple)
    assert type(bad) is error
    assert where in str(bad)
    assert f"message {ID.hex()}" in str(bad)


def test_long_payloads_are_compressed_where_that_helps() -> None:
    wire = Wire(compress_above=100)
    long, short, dense = Plain("ab" * 5_000), Plain("ab" * 40), Plain("", bytes(range(256)))
    frames = [codec(wire).encode(message, ID, 1).frame for message in (long, short, dense)]
    assert [_core.unpack(frame)[1] for frame in frames] == [2, 0, 0]
    assert len(frames[0]) < 300
    assert [only(codec().decode([frame])) for frame in frames] == [long, short, dense]


def test_the_threshold_itself_is_not_compressed() -> None:
    size = len(payload_of(codec().encode(Plain("a" * 500), ID, 1).frame))
    flags = [
        _core.unpack(codec(Wire(compress_above=at)).encode(Plain("a" * 500), ID, 1).frame)[1] for at in (size, size - 1)
    ]
    assert flags == [0, 2]


def test_the_flag_of_a_chosen_id_stays() -> None:
    frame = codec(Wire(compress_above=1)).encode(Plain("a" * 500), ID, 1, flags=1).frame
    assert _core.unpack(frame)[1] == 3


def test_a_bomb_is_refused_before_it_is_made() -> None:
    bomb = framed(zstd.compress(bytes(64 * 1024 * 1024)), 2, 2, "Image")
    assert len(bomb) < 10_000
    tracemalloc.start()
    try:
        found = only(codec(Wire(max_bytes=1_000_000)).decode([bomb]))
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
    assert type(found) is TooLarge
    assert type(only(codec().decode([bomb]))) is TooLarge
    assert len(only(codec(Wire(max_bytes=64 * 1024 * 1024)).decode([bomb])).data) == 64 * 1024 * 1024


def test_a_sender_with_a_large_window_is_refused() -> None:
    parameter = zstd.CompressionParameter
    large = zstd.compress(bytes(1000), options={parameter.window_log: 30, parameter.content_size_flag: 0})
    streamed = zstd.ZstdCompressor(options={parameter.window_log: 30})
    large = streamed.compress(bytes(1000)) + streamed.flush()
    found = only(codec().decode([framed(large, 2, 2, "Image")]))
    assert type(found) is BadPayload


@pytest.mark.parametrize("compress", [None, 10])
def test_the_limit_is_that_of_the_payload_before_it_is_compressed(compress: int | None) -> None:
    own = codec(Wire(max_bytes=1_000, compress_above=compress))
    assert len(only(own.decode([own.encode(Image(bytes(1_000)), ID, 1).frame])).data) == 1_000
    with pytest.raises(TooLarge, match="1,001 bytes"):
        own.encode(Image(bytes(1_001)), ID, 1)


def test_an_app_without_zstd_says_so_at_start_and_reads_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = codec(Wire(compress_above=1)).encode(Plain("a" * 500), ID, 1).frame
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    found = only(codec().decode([frame]))
    assert type(found) is UnknownContentType
    assert "catga[zstd]" in str(found)

    async def main() -> None:
        app = Scene().app(wire=Wire(compress_above=1))
        with pytest.raises(ConfigurationError) as caught:
            await app.start()
        assert [type(mistake) for mistake in caught.value.mistakes] == [UnknownBackend]

    run(main())


def test_a_class_that_cannot_be_written_so_is_refused() -> None:
    with pytest.raises(MessageDefinitionError, match="codec 'xml'"):
        type(Event)("Bad", (Event,), {}, codec="xml")  # type: ignore[call-overload]
    with pytest.raises(MessageDefinitionError, match="2 fields"):
        type(Event)("Bad", (Event,), {"__annotations__": {"a": bytes, "b": bytes}}, codec="raw")  # type: ignore[call-overload]

    class Text(Event, codec="raw"):
        text: str

    async def main() -> None:
        with pytest.raises(ConfigurationError, match="no bytes"):
            await Catga("x", messages=(Text,)).start()

    run(main())


def test_an_upcaster_gets_the_fields_of_any_codec() -> None:
    class Grown(Event, codec="raw", version=2):
        data: bytes

    def longer(old: dict[str, Any]) -> dict[str, Any]:
        return {"data": old["data"] + b"!"}

    own = Codec([Grown], "shop", {Grown: {1: longer}})
    frames = [framed(b"a", 2, 0, "Grown"), framed(b"\x81\xa4data\xc4\x01b", 0, 0, "Grown")]
    assert [only(own.decode([frame])).data for frame in frames] == [b"a!", b"b!"]


def test_a_durable_app_sends_and_hears_each_kind() -> None:
    heard: list[Any] = []

    class Go(Command):
        pass

    async def main() -> None:
        scene = Scene()
        app = scene.app(wire=Wire(channels={"audit": "json"}, compress_above=64))

        @app.handler(Go)
        async def go(cmd: Go, ctx: Context) -> None:
            for event in (Plain("a"), AsJson("b" * 500), Audited("c" * 500), Image(b"d" * 20_000)):
                ctx.publish(event)

        for kind in TYPES:

            async def hear(event: Any) -> None:
                heard.append(event)

            hear.__annotations__["event"] = kind
            app.handler(kind, id=f"hear-{kind.__name__}")(hear)
        async with scene.running(app):
            await scene.run(app.enqueue(Go()))
            await scene.run(app.settled())

    run(main())
    assert sorted(heard, key=str) == sorted(
        [Plain("a"), AsJson("b" * 500), Audited("c" * 500), Image(b"d" * 20_000)], key=str
    )
