"""Frames: both implementations agree, and no damage does more than fail."""

import copy
import os
import pickle
import random
from dataclasses import astuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.models.frame import Frame

from catga._core import FrameError, crc32c, pack, split, unpack, unpack_many

CODES = {f"CTG-300{number}" for number in range(1, 7)}
BYTE = st.integers(0, 255)
TIME = st.integers(-(2**63), 2**63 - 1)
FRAMES = st.builds(
    Frame,
    kind=BYTE,
    flags=BYTE,
    codec=BYTE,
    priority=st.integers(0, 7),
    schema_version=st.integers(0, 65_535),
    id=st.binary(min_size=16, max_size=16),
    created_ms=TIME,
    due_ms=TIME,
    deadline_ms=TIME,
    type=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    key=st.none() | st.binary(max_size=20),
    ext=st.none() | st.binary(max_size=20),
    payload=st.binary(max_size=60) | st.sampled_from([bytes(8192), b"\x01" * 8193, b"\x02" * 20_000]),
)
PROFILE = settings(max_examples=150, deadline=None)


def packed(frame: Frame) -> bytes:
    return pack(**{field: getattr(frame, field) for field in frame.__slots__})


@PROFILE
@given(FRAMES)
def test_a_round_trip_changes_nothing_and_the_model_agrees(frame: Frame) -> None:
    data = packed(frame)
    assert data == frame.bytes()
    assert unpack(data) == unpack(bytearray(data)) == unpack(memoryview(data)) == astuple(frame)
    assert type(unpack(data)[-1]) is (bytes if len(frame.payload) <= 8192 else memoryview)


@PROFILE
@given(FRAMES, st.data())
def test_every_changed_byte_is_noticed(frame: Frame, data: st.DataObject) -> None:
    good = packed(frame)
    at = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FrameError) as caught:
        unpack(bad)
    assert caught.value.code in CODES
    assert 0 <= caught.value.offset <= len(bad)


def test_every_change_of_every_byte_is_noticed() -> None:
    good = packed(Frame(1, 2, 3, 4, 5, bytes(16), 6, 7, 8, "type", b"key", b"ext", b"payload"))
    changed = [
        good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :] for at in range(len(good)) for flip in range(1, 256)
    ]
    assert all(isinstance(found, FrameError) for found in unpack_many(changed))


@PROFILE
@given(st.lists(FRAMES, max_size=6), st.data())
def test_split_takes_what_is_whole_and_leaves_the_rest(frames: list[Frame], data: st.DataObject) -> None:
    parts = [packed(frame) for frame in frames]
    whole = b"".join(parts)
    end = data.draw(st.integers(0, len(whole)))
    found, taken = split(whole[:end])
    count = len(found)
    assert taken == sum(map(len, parts[:count]))
    assert found == [astuple(frame) for frame in frames[:count]]
    assert count == len(parts) or taken + len(parts[count]) > end
    rest, more = split(whole[taken:])
    assert (len(rest), taken + more) == (len(parts) - count, len(whole))


@PROFILE
@given(st.lists(FRAMES | st.binary(max_size=80), max_size=6))
def test_a_bad_frame_disturbs_no_neighbour(mixed: list[Frame | bytes]) -> None:
    found = unpack_many([part if isinstance(part, bytes) else packed(part) for part in mixed])
    assert len(found) == len(mixed)
    for part, read in zip(mixed, found, strict=True):
        if isinstance(part, bytes):
            assert isinstance(read, FrameError)
        else:
            assert read == astuple(part)


def test_bad_bytes_end_a_split_and_begin_the_next() -> None:
    good = packed(Frame(1, 2, 3, 4, 5, bytes(16), 6, 7, 8, "type", None, None, b""))
    buffer = good + good + b"no frame" + good
    found, taken = split(buffer)
    assert (len(found), taken) == (2, 2 * len(good))
    with pytest.raises(FrameError, match="CTG-3002 at byte 0"):
        split(buffer[taken:])
    assert split(b"") == ([], 0)


def test_a_large_payload_is_a_view_that_pins_no_bytearray() -> None:
    data = packed(Frame(0, 0, 0, 0, 0, bytes(16), 0, 0, 0, "t", None, None, b"p" * 9000))
    view = unpack(data)[-1]
    assert isinstance(view, memoryview)
    assert view.obj is data
    assert view.readonly
    buffer = bytearray(data)
    found, taken = split(buffer)
    del buffer[:taken]
    assert found[0][-1] == b"p" * 9000


def test_limits_hold_on_both_sides() -> None:
    frame = Frame(0, 0, 0, 0, 0, bytes(16), 0, 0, 0, "", None, None, b"x" * 100)
    data = packed(frame)
    assert unpack(data, len(data)) == astuple(frame)
    limited = [lambda: unpack(data, 167), lambda: split(data[:80], 167), lambda: pack_limited(frame, 167)]
    for call in limited:
        with pytest.raises(FrameError, match="CTG-3004"):
            call()
    error = unpack_many([data], 167)[0]
    assert isinstance(error, FrameError)
    assert (error.code, error.offset) == ("CTG-3004", 60)


def pack_limited(frame: Frame, max_bytes: int) -> bytes:
    return pack(**{field: getattr(frame, field) for field in frame.__slots__}, max_bytes=max_bytes)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"id": b"x" * 15}, ValueError),
        ({"id": "x" * 16}, TypeError),
        ({"priority": 8}, ValueError),
        ({"priority": -1}, ValueError),
        ({"kind": 256}, ValueError),
        ({"flags": 2**70}, ValueError),
        ({"schema_version": 65_536}, ValueError),
        ({"created_ms": 2**63}, ValueError),
        ({"type": b"t"}, TypeError),
        ({"type": "\ud800"}, ValueError),
        ({"type": "t" * 65_536}, FrameError),
        ({"key": b"k" * 65_535}, FrameError),
        ({"key": "k"}, TypeError),
        ({"payload": "p"}, TypeError),
        ({"payload": memoryview(b"pppp").cast("i")}, TypeError),
        ({"kind": 1.0}, TypeError),
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, object], error: type[Exception]) -> None:
    fields = {"kind": 0, "codec": 0, "priority": 0, "schema_version": 0, "id": bytes(16), "created_ms": 0, "due_ms": 0}
    fields |= {"deadline_ms": 0, "type": "", "key": None, "ext": None, "payload": b""}
    with pytest.raises(error):
        pack(**(fields | wrong))


@pytest.mark.parametrize("wrong", ["text", None, 7, [1], memoryview(b"1234").cast("I")])
def test_what_is_no_buffer_is_a_type_error_everywhere(wrong: object) -> None:
    for call in (unpack, split, crc32c, lambda frame: unpack_many([frame])):
        with pytest.raises(TypeError):
            call(wrong)


@pytest.mark.parametrize("limit", [-1, 2**64])
def test_a_limit_is_a_size(limit: int) -> None:
    for call in (unpack, split, lambda data, limit: unpack_many([data], limit)):
        with pytest.raises(ValueError, match="max_bytes must be"):
            call(b"", limit)
    with pytest.raises(ValueError, match="value must be"):
        crc32c(b"", limit)


def test_an_error_survives_pickling_and_copying() -> None:
    (error,) = unpack_many([b"\x00"])
    assert isinstance(error, FrameError)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (twin.code, twin.offset, str(twin)) == (error.code, error.offset, str(error))
    assert str(error) == "CTG-3002 at byte 0: no frame begins here"


def damaged(source: random.Random, frame: bytes) -> bytes:
    """Mostly with a fitting checksum, so that the damage reaches what lies behind that check."""
    bad = bytearray(frame)
    for _ in range(source.randrange(1, 4)):
        match source.randrange(6):
            case 0:
                del bad[source.randrange(len(bad) + 1) :]
            case 1:
                bad += source.randbytes(source.randrange(80))
            case 2 | 3 if len(bad) >= 68:
                field = source.choice((50, 52, 56, 60))
                bad[field] = (bad[field] + source.randrange(-4, 5)) % 256
            case _ if bad:
                bad[source.randrange(len(bad))] = source.randrange(256)
    if len(bad) >= 68 and source.random() < 0.9:
        bad[64:68] = crc32c(bad[68:], crc32c(bad[:64])).to_bytes(4, "little")
    return bytes(bad)


def test_no_damage_does_more_than_fail() -> None:
    source = random.Random(1)
    frames = [
        packed(Frame(1, 2, 3, 4, 5, bytes(range(16)), 6, 7, 8, "orders.placed", b"key", b"ext", b"payload" * 20)),
        packed(Frame(0, 0, 0, 0, 0, bytes(16), 0, 0, 0, "", None, None, b"")),
    ]
    rounds = 1000 if "CATGA_LONG" in os.environ else 50
    past_header = 0
    for _ in range(rounds):
        batch = [damaged(source, source.choice(frames)) for _ in range(1000)]
        found = unpack_many(batch)
        for bad, read in zip(batch, found, strict=True):
            if isinstance(read, FrameError):
                assert read.code in CODES
                assert 0 <= read.offset <= len(bad)
                past_header += read.code == "CTG-3005" or read.offset >= 68
            else:
                past_header += 1
                assert packed(Frame(*read)) == bad
        buffer = b"".join(batch)
        while buffer:
            try:
                _, taken = split(buffer)
            except FrameError:
                # As a reader might: on to the next place where a frame may begin.
                taken = max(buffer.find(b"\x7a\xc4", 1), 0)
            if taken == 0:
                break
            buffer = buffer[taken:]
    assert past_header * 2 >= rounds * 1000
