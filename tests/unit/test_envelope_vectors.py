"""The committed envelopes: what was written once must be read for ever. They were written by this file's `WRITTEN`."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from catga import Event, Headers, Signing, Wire, _core
from catga.cloudevents import CloudEvent, read_binary, read_structured, write_binary, write_structured
from catga.envelope import Claimed, Codec, Envelope

GOLDEN = Path(__file__).parent / "golden" / "envelope"
ID = bytes.fromhex("0190163d8694739b8abcdef012345678")
CREATED, DUE, DEADLINE = 1_767_225_600_000, 1_767_225_660_000, 1_767_229_200_000
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Placed(Event, key="customer", name="shop.Placed", version=3, priority=2):
    customer: str
    cents: int
    lines: list[str] = msgspec.field(default_factory=list)


class Image(Event, codec="raw", name="shop.Image"):
    data: bytes


MESSAGE = Placed("änn", 1250, ["a"] * 40)
SIGNING = Signing(keys={"2026-01": bytes(range(32))}, sign="2026-01")
PARENT = Envelope(ID, "shop.Placed", 3, 2, CREATED, DUE, 0, None, Headers(tenant="acme", traceparent=TRACE).ext())

HEADERS: dict[str, bytes | None] = {
    "none": None,
    "tenant": Headers(tenant="acme").ext(),
    "correlation": Headers(correlation_id="c-1").ext(),
    "cause": Headers(causation_id=ID.hex()).ext(),
    "trace": Headers(traceparent=TRACE, tracestate="a=1,b=2").ext(),
    "more": Headers(more={"source": "web", "ключ": "значение"}).ext(),
    "followed": PARENT.ext_of_followers(),
}
WIRES = {
    "json": Wire(codec="json"),
    "signed": Wire(signing=SIGNING),
    "signed_json": Wire(codec="json", signing=SIGNING),
    "claimed": Wire(claim_above=10),
    "claimed_signed": Wire(claim_above=10, signing=SIGNING),
}


def codec(wire: Wire) -> Codec:
    nothing: dict[Any, Any] = {Placed: {1: dict, 2: dict}}
    return Codec([Placed, Image], "shop", nothing, wire, keeps=True)


def written(wire: Wire, message: Any = MESSAGE, ext: bytes | None = HEADERS["followed"], deadline: int = 0) -> bytes:
    return codec(wire).encode(message, ID, CREATED, DUE, deadline, ext).frame


WRITTEN: dict[str, bytes] = {
    **{f"header_{name}": written(Wire(), ext=ext) for name, ext in HEADERS.items()},
    **{name: written(wire) for name, wire in WIRES.items()},
    "deadline": written(Wire(), deadline=DEADLINE),
    "raw": written(Wire(), Image(bytes(range(256)))),
}
READ_ONLY = {"zstd", "zstd_signed"}
"""zstd may make other bytes of the same some day; these are read."""

EVENT = CloudEvent(
    id="e-1",
    source="/shop",
    type="shop.Placed",
    datacontenttype="application/json",
    dataschema="https://example.com/placed.json",
    subject="änn",
    time=datetime(2026, 1, 1, tzinfo=UTC),
    extensions={"traceparent": TRACE, "tenant": "acme", "partitionkey": "änn", "schemaversion": 3, "vip": True},
    data=b'{"customer":"\xc3\xa4nn","cents":1250,"lines":[]}',
)


@pytest.mark.parametrize("name", sorted({*WRITTEN, *READ_ONLY}))
def test_a_vector_is_what_is_written_and_read(name: str) -> None:
    golden = (GOLDEN / f"{name}.bin").read_bytes()
    if name in WRITTEN:
        assert WRITTEN[name] == golden
    own = codec(Wire(signing=SIGNING) if "signed" in name else Wire())
    (found,) = own.receive([golden], DUE)
    if isinstance(found, Claimed):
        kept = codec(Wire(claim_above=10))
        kept.encode(MESSAGE, ID, CREATED, DUE)
        found = own.redeem(found, kept.unkept[0].payload)
    assert isinstance(found, tuple), found
    message, envelope = found
    assert message == (Image(bytes(range(256))) if name == "raw" else MESSAGE)
    assert (envelope.id, envelope.created_ms, envelope.due_ms) == (ID, CREATED, DUE)
    assert envelope.deadline_ms == (DEADLINE if name == "deadline" else 0)
    expected = name.removeprefix("header_") if name.startswith("header_") else "followed"
    headers = envelope.headers
    assert headers.pop("kid", None) == ("2026-01" if "signed" in name else None)
    own_headers = Envelope(ID, "", 1, 4, 0, 0, 0, None, HEADERS[expected]).headers
    assert headers == own_headers


def test_the_headers_of_a_follower_are_these() -> None:
    (found,) = codec(Wire()).decode([(GOLDEN / "header_followed.bin").read_bytes()])
    assert isinstance(found, tuple)
    assert found[1].headers == {"cause": ID.hex(), "tenant": "acme", "traceparent": TRACE}


def test_no_vector_lies_about_unread() -> None:
    assert {path.stem for path in GOLDEN.glob("*.bin")} == {*WRITTEN, *READ_ONLY}


def test_compressed_vectors_are_compressed() -> None:
    for name in READ_ONLY:
        assert _core.unpack((GOLDEN / f"{name}.bin").read_bytes())[1] & 2


def test_cloud_events_are_as_they_were() -> None:
    structured = (GOLDEN / "structured.json").read_bytes()
    assert write_structured(EVENT) + b"\n" == structured
    assert read_structured(structured) == EVENT
    headers, body = write_binary(EVENT)
    binary = json.loads((GOLDEN / "binary.json").read_bytes())
    assert (headers, body.decode()) == (binary["headers"], binary["body"])
    found = read_binary(binary["headers"].items(), binary["body"].encode())
    assert found.texts() == EVENT.texts()
    assert found.data == EVENT.data
