"""The committed frames: what was written once must be read for ever. The Rust tests read the same files."""

from pathlib import Path

import pytest
from tests.property.models.frame import Frame
from tests.property.models.frame import crc32c as slow_crc32c

from catga._core import FrameError, crc32c, pack, unpack

GOLDEN = Path(__file__).parent / "golden"

VECTORS = {
    "smallest": Frame(0, 0, 0, 0, 0, bytes(16), 0, 0, 0, "", None, None, b""),
    "empty_parts": Frame(1, 0, 1, 7, 1, bytes(range(16)), -1, 0, 0, "t", b"", b"", b""),
    "whole": Frame(
        2,
        0xA5,
        3,
        4,
        0xBEEF,
        bytes.fromhex("0190163d8694739b8abcdef012345678"),
        1_767_225_600_000,
        1_767_225_660_000,
        1_767_229_200_000,
        "orders.пла́ced.订单",
        b"customer-\x00\xff",
        b"\x81\xa1a\x01",
        bytes(range(256)),
    ),
    "extremes": Frame(
        255, 255, 255, 7, 65_535, b"\xff" * 16, -(2**63), 2**63 - 1, -1, "x" * 300, b"k" * 300, b"", b"\x00" * 5_000
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_is_what_both_implementations_write_and_read(name: str) -> None:
    frame, golden = VECTORS[name], (GOLDEN / f"{name}.bin").read_bytes()
    fields = {field: getattr(frame, field) for field in frame.__slots__}
    assert frame.bytes() == golden
    assert pack(**fields) == golden
    assert unpack(golden) == tuple(fields.values())


def test_no_vector_lies_about_unread() -> None:
    assert {path.stem for path in GOLDEN.glob("*.bin")} == set(VECTORS)


@pytest.mark.parametrize(
    ("name", "offset", "change", "code"),
    [
        ("whole", 0, b"\x7b", "CTG-3002"),
        ("whole", 2, b"\x02", "CTG-3003"),
        ("whole", 6, b"\x01", "CTG-3006"),
        ("whole", 7, b"\x08", "CTG-3006"),
        ("whole", 54, b"\x01", "CTG-3006"),
        ("whole", 64, b"\x00", "CTG-3005"),
    ],
)
def test_a_fault_has_its_code_and_offset(name: str, offset: int, change: bytes, code: str) -> None:
    golden = bytearray((GOLDEN / f"{name}.bin").read_bytes())
    golden[offset : offset + 1] = change
    with pytest.raises(FrameError, match=code) as caught:
        unpack(golden)
    assert (caught.value.code, caught.value.offset) == (code, offset)


def test_a_cut_frame_says_where_it_ends_and_a_long_one_where_it_goes_on() -> None:
    golden = (GOLDEN / "whole.bin").read_bytes()
    for end in range(len(golden)):
        with pytest.raises(FrameError) as caught:
            unpack(golden[:end])
        assert (caught.value.code, caught.value.offset) == ("CTG-3001", end)
    with pytest.raises(FrameError) as caught:
        unpack(golden + b"\x00")
    assert (caught.value.code, caught.value.offset) == ("CTG-3006", len(golden))


def test_a_type_that_is_no_utf8_is_found_behind_a_sound_checksum() -> None:
    head = (GOLDEN / "empty_parts.bin").read_bytes()[:64]
    frame = head + slow_crc32c(head + b"\xff").to_bytes(4, "little") + b"\xff"
    with pytest.raises(FrameError) as caught:
        unpack(frame)
    assert (caught.value.code, caught.value.offset) == ("CTG-3006", 68)


@pytest.mark.parametrize("data", [b"", b"123456789", bytes(range(256)) * 9, b"a" * 3000])
def test_the_checksum_is_castagnolis(data: bytes) -> None:
    assert crc32c(data) == crc32c(bytearray(data)) == crc32c(memoryview(data)) == slow_crc32c(data)
    assert crc32c(data[5:], crc32c(data[:5])) == crc32c(data)


def test_the_known_check_value() -> None:
    assert crc32c(b"123456789") == 0xE3069283
