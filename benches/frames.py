"""Frames out of one buffer, and messages as bytes."""

import struct
from collections.abc import Callable
from typing import Any

import msgspec

from benches.pipeline import Order
from benches.runner import Group, Row, fixed
from catga import _core
from catga.envelope import Codec

FRAMES = 1_000
HEADER = struct.Struct("<H6B16sqqqHHHHIII")
NO_KEY, NO_EXT = 0xFFFF, 0xFFFFFFFF


def struct_split(buffer: bytes) -> tuple[list[tuple[Any, ...]], int]:
    """What one writes in Python for the same tuples; it checks neither lengths nor the checksum."""
    found = []
    unpack, at, end = HEADER.unpack_from, 0, len(buffer)
    while at < end:
        head = unpack(buffer, at)
        _, _, kind, flags, codec, _, priority, id_, created, due, deadline = head[:11]
        version, name_length, key_length, _, ext_length, payload_length, _ = head[11:]
        at += HEADER.size
        name = buffer[at : at + name_length].decode()
        at += name_length
        key = ext = None
        if key_length != NO_KEY:
            key = buffer[at : at + key_length]
            at += key_length
        if ext_length != NO_EXT:
            ext = buffer[at : at + ext_length]
            at += ext_length
        payload = buffer[at : at + payload_length]
        at += payload_length
        found.append((kind, flags, codec, priority, id_, created, due, deadline, version, name, key, ext, payload))
    return found, at


def buffer_of(size: int) -> bytes:
    """A thousand frames of `size` bytes of payload."""
    return b"".join(
        _core.pack(0, 0, 4, 1, number.to_bytes(16, "big"), 1, 1, 0, "Order", b"ann", None, bytes(size))
        for number in range(FRAMES)
    )


def splitting(split: Callable[[bytes], Any], buffer: bytes) -> Callable[[int], None]:
    """Per frame."""

    def timed(count: int) -> None:
        for _ in range(count // FRAMES):
            split(buffer)

    return timed


def split_rows() -> list[Row]:
    """The payload sizes of the bar and of a page."""
    small, large = buffer_of(256), buffer_of(4096)
    return [
        Row("catga split, 256 bytes", splitting(_core.split, small), 4 * FRAMES),
        Row("struct, 256 bytes", splitting(struct_split, small), 4 * FRAMES),
        Row("catga split, 4 KiB", splitting(_core.split, large), 4 * FRAMES),
        Row("struct, 4 KiB", splitting(struct_split, large), 4 * FRAMES),
    ]


def repeated(call: Callable[[Any], Any], argument: Any) -> Callable[[int], None]:
    """The loop every row has."""

    def timed(count: int) -> None:
        for _ in range(count):
            call(argument)

    return timed


def codec_rows() -> list[Row]:
    """What the envelope adds to msgspec, whose payload it carries."""
    codec, order, identity = Codec([Order], "bench", {}), Order("o-1", "ann", 1), bytes(16)
    encoder, decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Order)
    payload, frame = encoder.encode(order), codec.encode(order, identity, 1).frame
    frames = [frame] * 100
    return [
        Row(
            "catga encode, with its envelope",
            repeated(lambda message: codec.encode(message, identity, 1), order),
            10_000,
        ),
        Row("msgspec encode", repeated(encoder.encode, order), 4_000),
        Row("catga decode, 100 at a time", lambda count: [codec.decode(frames) for _ in range(count // 100)], 4_000),
        Row("catga decode, one", repeated(codec.decode, [frame]), 4_000),
        Row("msgspec decode", repeated(decoder.decode, payload), 4_000),
    ]


GROUPS = [
    Group("split 1,000 frames", fixed(split_rows), loops=("uvloop",)),
    Group("messages as bytes", fixed(codec_rows), loops=("uvloop",)),
]
