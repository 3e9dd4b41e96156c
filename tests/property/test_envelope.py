"""Envelopes: what is written is read, whatever it is wrapped in; what strangers send is typed, whatever it is."""

import contextlib
import os
import random
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catga import Event, Headers, Signing, Wire, _core
from catga.cloudevents import (
    BadCloudEvent,
    CloudEvent,
    read_binary,
    read_structured,
    write_binary,
    write_structured,
)
from catga.envelope import Claimed, Codec, Envelope, bare, blob_of
from catga.errors import CatgaError

KEYS = {"a": b"a" * 32, "b": b"b" * 32}
PROFILE = settings(max_examples=200, deadline=None)
ID = st.binary(min_size=16, max_size=16)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TIME = st.integers(1, 2**52)


class Noted(Event, key="key"):
    key: str | None
    number: int
    data: bytes
    more: dict[str, list[float]]


class Raw(Event, codec="raw"):
    data: bytes


NOTED = st.builds(
    Noted,
    TEXT | st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=60) | st.sampled_from([bytes(9_000), bytes(range(256)) * 50]),
    st.dictionaries(TEXT, st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3), max_size=3),
)
RAW = st.builds(Raw, st.binary(max_size=60) | st.sampled_from([bytes(9_000)]))
WIRES = st.builds(
    Wire,
    codec=st.sampled_from(["msgpack", "json"]),
    compress_above=st.sampled_from([None, 0, 50]),
    claim_above=st.sampled_from([None, 40, 8_000]),
    signing=st.none() | st.builds(Signing, keys=st.just(KEYS), sign=st.sampled_from(["a", "b"])),
)
HEADERS = st.none() | st.builds(
    Headers,
    tenant=st.none() | TEXT,
    correlation_id=st.none() | TEXT,
    causation_id=st.none() | TEXT,
    traceparent=st.none() | TEXT,
    tracestate=st.none() | TEXT,
    more=st.dictionaries(TEXT.filter(lambda name: len(name) > 12), TEXT, max_size=20),
)


def codec(wire: Wire) -> Codec:
    return Codec([Noted, Raw], "shop", {}, wire, keeps=True)


@PROFILE
@given(NOTED | RAW, WIRES, HEADERS, ID, TIME, TIME, st.booleans())
def test_what_is_written_is_read(
    message: Any, wire: Wire, headers: Headers | None, id: bytes, created: int, due: int, named: bool
) -> None:
    own, ext = codec(wire), None if headers is None else headers.ext()
    row = own.encode(message, id, created, due, 0, ext, int(named))
    kept = {each.name: each.payload for each in own.unkept}
    # Whoever knows the keys reads it, whatever it writes itself.
    other = codec(Wire(signing=Signing(keys=KEYS, sign="a")) if wire.signing else Wire())
    (found,) = other.receive([row.frame], due)
    name = blob_of(row.frame)
    assert (name in kept) == (name is not None) == isinstance(found, Claimed)
    if isinstance(found, Claimed):
        found = other.redeem(found, kept[found.name])
    assert isinstance(found, tuple), found
    assert found[0] == message
    envelope = found[1]
    assert (envelope.id, envelope.created_ms, envelope.due_ms, envelope.key) == (id, created, due, row.key)
    assert envelope.flags & 1 == named
    read = envelope.headers
    assert read.pop("kid", None) == (wire.signing.sign if wire.signing else None)
    assert read == (msgspec.msgpack.decode(ext, type=dict[str, str]) if ext else {})


@PROFILE
@given(HEADERS, st.lists(ID, min_size=2, max_size=6, unique=True))
def test_a_chain_has_one_correlation_and_each_its_cause(headers: Headers | None, ids: list[bytes]) -> None:
    first = Envelope(ids[0], "T", 1, 4, 0, 0, 0, None, None if headers is None else headers.ext())
    chain = [first]
    for id in ids[1:]:
        chain.append(Envelope(id, "T", 1, 4, 0, 0, 0, None, chain[-1].ext_of_followers()))
    assert {each.correlation_id for each in chain} == {first.correlation_id}
    assert [each.causation_id for each in chain[1:]] == [each.id.hex() for each in chain[:-1]]
    for name in ("tenant", "traceparent", "tracestate"):
        assert len({each.headers.get(name) for each in chain}) == 1
    assert all(
        set(each.headers) <= {"cause", "correlation", "tenant", "traceparent", "tracestate"} for each in chain[1:]
    )


def fixed(time: datetime) -> datetime:
    """With its offset alone: in the hour that a zone has twice, Python's times are equal to none of another zone."""
    offset = time.utcoffset()
    assert offset is not None
    return time.replace(tzinfo=timezone(offset), fold=0)


FIRST, LAST = datetime.fromisoformat("0002-01-01"), datetime.fromisoformat("9998-01-01")
ATTRIBUTE = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E) | st.sampled_from("äжé☕𝄞"), min_size=1, max_size=30
)
EXTENSION = st.from_regex(r"[a-z][a-z0-9]{0,19}", fullmatch=True).filter(
    lambda name: (
        name not in {"specversion", "id", "source", "type", "datacontenttype", "dataschema", "subject", "time", "data"}
    )
)
EVENTS = st.builds(
    CloudEvent,
    id=ATTRIBUTE,
    source=ATTRIBUTE,
    type=ATTRIBUTE,
    datacontenttype=st.sampled_from([None, "application/json", "application/octet-stream", "image/png"]),
    dataschema=st.none() | ATTRIBUTE,
    subject=st.none() | ATTRIBUTE,
    time=st.none() | st.datetimes(FIRST, LAST, timezones=st.timezones()).map(fixed),
    extensions=st.dictionaries(EXTENSION, ATTRIBUTE | st.integers(-(2**31), 2**31 - 1) | st.booleans(), max_size=4),
    data=st.none() | st.sampled_from([b"{}", b"[1]", b'"a"']),
)


@PROFILE
@given(EVENTS)
def test_a_cloud_event_comes_back(event: CloudEvent) -> None:
    assert read_structured(write_structured(event)) == event
    headers, body = write_binary(event)
    found = read_binary(headers.items(), body)
    assert (found.texts(), found.data) == (event.texts(), event.data)


# -- what strangers send ----------------------------------------------------------------------------------------------

ROUNDS = 1_000_000 if "CATGA_LONG" in os.environ else 20_000


def frames() -> list[bytes]:
    ext = Headers(tenant="acme", more={f"h{n}": "v" for n in range(20)}).ext()
    message = Noted("a", 5, b"data" * 20, {"x": [1.0]})
    wires = [
        Wire(),
        Wire(codec="json"),
        Wire(compress_above=0),
        Wire(claim_above=0),
        Wire(signing=Signing(keys=KEYS, sign="a")),
        Wire(compress_above=0, claim_above=0, signing=Signing(keys=KEYS, sign="b")),
    ]
    return [
        codec(wire).encode(each, bytes(16), 1, ext=ext).frame for wire in wires for each in (message, Raw(b"abc" * 30))
    ]


def sealed(frame: bytes) -> bytes:
    """With a checksum that is right: what gets behind it is what is tried here."""
    head, body = frame[:64], frame[68:]
    return head + _core.crc32c(body, _core.crc32c(head)).to_bytes(4, "little") + body


def damaged(source: random.Random, frame: bytes) -> bytes:
    bad = bytearray(frame)
    for _ in range(source.randint(1, 4)):
        # Flags, codec and version, and whatever stands behind the header.
        at = source.choice((4, 5, 48, source.randrange(68, len(bad)), source.randrange(68, len(bad))))
        bad[at] = source.choice((source.randrange(256), bad[at] ^ 1 << source.randrange(8), 0x80, 0xDF, 0xC1))
    return sealed(bytes(bad))


def test_no_damage_to_an_envelope_does_more_than_fail() -> None:
    source, good = random.Random(2), frames()
    trusting, strict = codec(Wire()), codec(Wire(signing=Signing(keys=KEYS, sign="a", max_age=1.0)))
    codes: set[str] = set()
    read = accepted = 0
    for _ in range(ROUNDS // 500):
        batch = [damaged(source, source.choice(good)) for _ in range(500)]
        for frame, found in zip(batch, trusting.receive(batch, 1), strict=True):
            if isinstance(found, tuple):
                read += 1
                typed(lambda envelope=found[1]: (envelope.headers, envelope.ext_of_followers()))
            elif isinstance(found, Claimed):
                assert type(trusting.redeem(found, b"something else")).__name__ == "BadPayload"
            else:
                assert isinstance(found, (CatgaError, _core.FrameError)), repr(found)
                codes.add(str(getattr(found, "code", "")))
            typed(lambda frame=frame: bare(frame))
        accepted += sum(not isinstance(found, (CatgaError, _core.FrameError)) for found in strict.receive(batch, 1))
    assert accepted < ROUNDS / 1000, "a change that changes nothing is rare"
    assert read > ROUNDS / 100
    assert {"CTG-3011", "CTG-3012", "CTG-3015"} <= codes


def typed(work: Callable[[], object]) -> None:
    with contextlib.suppress(CatgaError, _core.FrameError):
        work()


@pytest.mark.parametrize("seed", range(2))
def test_no_document_and_no_headers_do_more_than_fail(seed: int) -> None:
    source = random.Random(seed)
    good = write_structured(
        CloudEvent(id="1", source="/a", type="t", subject="s", extensions={"n": 5, "b": True}, data=b'{"a":[1,"x"]}')
    )
    headers, _ = write_binary(CloudEvent(id="ä%", source="/a", type="t", subject='"q"', extensions={"n": 5}))
    read = 0
    for _ in range(ROUNDS // 10):
        bad = bytearray(good)
        for _ in range(source.randint(1, 3)):
            bad[source.randrange(len(bad))] = source.choice((source.randrange(256), *b'"{}[]\\,:0%'))
        pairs = [
            (name, value[: source.randrange(len(value) + 1)] + source.choice(("", "%", "%4", "%ff", '"', "\x00", "ä")))
            for name, value in headers.items()
        ]
        for work in (lambda bad=bad: read_structured(bytes(bad)), lambda pairs=pairs: read_binary(pairs, b"")):
            with contextlib.suppress(BadCloudEvent):
                work()
                read += 1
    assert read > ROUNDS / 1000
