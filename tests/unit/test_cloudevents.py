"""CloudEvents 1.0: both modes, both ways, nothing lost, what is wrong typed."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from tests.unit.scene import Scene

from catga import Catga, Context, Event
from catga.cloudevents import (
    STRUCTURED,
    BadCloudEvent,
    CloudEvent,
    CloudEvents,
    read_binary,
    read_structured,
    write_binary,
    write_structured,
)
from catga.errors import (
    BadPayload,
    CatgaError,
    DeadlineExceeded,
    UnknownContentType,
    UnknownMessageType,
    UnknownVersion,
)
from catga.testing import VirtualClock, run

TIME = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
LEAST = {"specversion": "1.0", "id": "1", "source": "/a", "type": "Placed"}


class Placed(Event, key="order"):
    order: str
    cents: int = 0


class Photo(Event, codec="raw"):
    data: bytes


class Grown(Event, version=2):
    name: str


def shop(clock: VirtualClock | None = None) -> Catga:
    app = Catga("shop", messages=(Placed, Photo, Grown), clock=clock or VirtualClock())

    @app.upcast(Grown, 1)
    def longer(old: dict[str, Any]) -> dict[str, Any]:
        return {"name": old["old"] + "!"}

    return app


EVENTS = {
    "least": CloudEvent(id="1", source="/a", type="t"),
    "whole": CloudEvent(
        id="ä 1%",
        source="urn:x:y",
        type="com.example.placed",
        datacontenttype="application/json; charset=utf-8",
        dataschema="https://example.com/s.json",
        subject='a "quoted" subject',
        time=TIME,
        extensions={"traceparent": "00-a-b-01", "n": -5, "flag": True, "raw": b"\x00\xff", "emoji": "☕"},
        data=b'{"a": [1, 2,  3]}',
    ),
    "binary": CloudEvent(id="1", source="a", type="t", datacontenttype="application/octet-stream", data=b"\x00\xff"),
    "text": CloudEvent(id="1", source="a", type="t", datacontenttype="text/plain", data="ä".encode()),
    "suffix": CloudEvent(id="1", source="a", type="t", datacontenttype="application/vnd.x+json", data=b"null"),
}


def as_text(event: CloudEvent) -> CloudEvent:
    """As one is read whose attributes came as text."""
    texts = {name: text for name, text in event.texts().items() if name in event.extensions}
    return msgspec.structs.replace(event, extensions=texts)


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_comes_back_in_both_modes(name: str) -> None:
    event = EVENTS[name]
    headers, body = write_binary(event)
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    assert read_binary([(name.upper(), value) for name, value in headers.items()], body) == as_text(event)
    found = read_structured(write_structured(event))
    binary = {name for name, value in event.extensions.items() if isinstance(value, bytes)}
    kept = {**event.extensions, **{name: event.texts()[name] for name in binary}}
    assert found == msgspec.structs.replace(event, extensions=kept)


def test_the_document_is_that_of_the_specification() -> None:
    assert json.loads(write_structured(EVENTS["whole"])) == {
        "specversion": "1.0",
        "id": "ä 1%",
        "source": "urn:x:y",
        "type": "com.example.placed",
        "datacontenttype": "application/json; charset=utf-8",
        "dataschema": "https://example.com/s.json",
        "subject": 'a "quoted" subject',
        "time": "2026-01-02T03:04:05.678000Z",
        "traceparent": "00-a-b-01",
        "n": -5,
        "flag": True,
        "raw": "AP8=",
        "emoji": "☕",
        "data": {"a": [1, 2, 3]},
    }
    assert json.loads(write_structured(EVENTS["binary"]))["data_base64"] == "AP8="
    headers, body = write_binary(EVENTS["whole"])
    assert headers["ce-id"] == "%C3%A4%201%25"
    assert headers["ce-subject"] == "a%20%22quoted%22%20subject"
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert "ce-datacontenttype" not in headers
    assert body == b'{"a": [1, 2,  3]}'


@pytest.mark.parametrize(
    ("document", "data"),
    [
        ({"data": {"a": 1}}, b'{"a":1}'),
        ({"data": None}, b"null"),
        ({}, None),
        ({"data_base64": "AP8="}, b"\x00\xff"),
        ({"data_base64": None, "data": 1}, b"1"),
        ({"data": "text", "datacontenttype": "text/plain"}, b"text"),
        ({"data": None, "datacontenttype": "text/plain"}, None),
        ({"data": "text", "datacontenttype": "application/json"}, b'"text"'),
        ({"data": 1, "subject": None, "ext": None}, b"1"),
    ],
)
def test_data_is_found_where_the_specification_puts_it(document: dict[str, Any], data: bytes | None) -> None:
    found = read_structured(json.dumps(LEAST | document, separators=(",", ":")).encode())
    assert found.data == data
    assert (found.subject, found.extensions) == (None, {})


@pytest.mark.parametrize(
    "change",
    [
        {"specversion": "0.3"},
        {"specversion": 1.0},
        {"specversion": None},
        {"id": ""},
        {"id": None},
        {"id": 5},
        {"source": ""},
        {"type": ""},
        {"subject": ""},
        {"time": "yesterday"},
        {"time": "2026-01-02T03:04:05"},
        {"time": 5},
        {"Ext": "a"},
        {"ext_1": "a"},
        {"": "a"},
        {"x" * 65: "a"},
        {"ext": {"a": 1}},
        {"ext": [1]},
        {"ext": 1.5},
        {"ext": 2**31},
        {"ext": "a\x00"},
        {"ext": "\ufffe"},
        {"ext": "a" * 70_000},
        {"data": 1, "data_base64": "AA=="},
        {"data_base64": "A*=="},
        {"data_base64": 5},
        {"data": {"a": 1}, "datacontenttype": "text/plain"},
    ],
)
def test_what_breaks_the_specification_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadCloudEvent, match="CTG-3018"):
        read_structured(json.dumps(LEAST | change).encode())


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"id": "\xff"}', b"[" * 100_000, b'{"data":' * 100_000])
def test_what_is_no_document_is_refused(body: bytes) -> None:
    with pytest.raises(BadCloudEvent):
        read_structured(body)


HEADERS = [(f"ce-{name}", value) for name, value in LEAST.items()]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        HEADERS[1:],
        [*HEADERS, ("CE-ID", "2")],
        [*HEADERS, ("ce-x", "%")],
        [*HEADERS, ("ce-x", "%zz")],
        [*HEADERS, ("ce-x", "%ff")],
        [*HEADERS, ("ce-x y", "a")],
        [*HEADERS, ("ce-data", "a")],
        [*HEADERS, ("ce-time", "a")],
    ],
)
def test_headers_that_say_no_event_are_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(BadCloudEvent):
        read_binary(headers, b"")


def test_headers_of_others_are_left_alone_and_nats_names_the_type_of_the_data() -> None:
    extra = [("Host", "a"), ("ce-datacontenttype", "text/plain"), ("ce-q", '"a \\"b\\""')]
    found = read_binary([*HEADERS, *extra], b"x")
    assert (found.datacontenttype, found.extensions) == ("text/plain", {"q": 'a "b"'})


@pytest.mark.parametrize(
    "event",
    [
        CloudEvent(id="", source="a", type="t"),
        CloudEvent(id="1", source="a", type="t", time=datetime(2026, 1, 1)),  # noqa: DTZ001 - that is what is refused
        CloudEvent(id="1", source="a", type="t", extensions={"id": "x"}),
        CloudEvent(id="1", source="a", type="t", extensions={"Up": "x"}),
        CloudEvent(id="1", source="a", type="t", data=b"{"),
        CloudEvent(id="1", source="a", type="t", data=b'1,"id":2'),
    ],
)
def test_what_breaks_the_specification_is_not_written(event: CloudEvent) -> None:
    with pytest.raises(BadCloudEvent):
        write_structured(event)


# -- messages ---------------------------------------------------------------------------------------------------------


def test_a_message_is_an_event_and_comes_back() -> None:
    edge = CloudEvents(shop(), "/shop")
    event = edge.event(Placed("ä", 5))
    assert (event.type, event.source, event.datacontenttype) == ("Placed", "/shop", "application/json")
    assert (event.data, event.extensions) == (
        b'{"order":"\xc3\xa4","cents":5}',
        {"schemaversion": 1, "partitionkey": "ä"},
    )
    headers, body = write_binary(event)
    for received in (
        edge.read(headers.items(), body),
        edge.read([("Content-Type", f"{STRUCTURED}; charset=UTF-8")], write_structured(event)),
    ):
        assert (received.message, received.id) == (Placed("ä", 5), event.id)
        assert received.headers.more == {"ce-id": event.id, "ce-source": "/shop"}
    photo = edge.event(Photo(b"\x00\xff"))
    assert (photo.datacontenttype, photo.data) == ("application/octet-stream", b"\x00\xff")
    assert edge.received(read_structured(write_structured(photo))).message == Photo(b"\x00\xff")


def test_what_nobody_here_knows_stays_with_the_message() -> None:
    clock = VirtualClock()
    edge = CloudEvents(shop(clock), "/shop")
    expiry = (datetime.fromtimestamp(clock.wall_ms() / 1000, UTC) + timedelta(seconds=5)).isoformat()
    extensions = {
        "traceparent": "00-a",
        "tracestate": "b",
        "tenant": "acme",
        "correlationid": "c",
        "causationid": "d",
        "expirytime": expiry,
        "strange": 5,
        "flag": False,
    }
    event = CloudEvent(
        id="e",
        source="/far",
        type="Placed",
        subject="s",
        extensions=extensions,
        data=b'{"order":"a"}',
        dataschema="x:y",
    )
    received = edge.received(event)
    given = received.headers
    assert (given.tenant, given.correlation_id, given.causation_id) == ("acme", "c", "d")
    assert (given.traceparent, given.tracestate, given.within) == ("00-a", "b", 5.0)
    assert given.more == {
        "ce-id": "e",
        "ce-source": "/far",
        "ce-strange": "5",
        "ce-flag": "false",
        "ce-subject": "s",
        "ce-dataschema": "x:y",
    }


def test_an_event_that_comes_again_is_the_same_message_and_another_source_another() -> None:
    edge = CloudEvents(shop(), "/shop")
    hexadecimal = "0" * 32
    ids = {
        (source, id): edge.received(CloudEvent(id=id, source=source, type="Grown", data=b'{"name":"a"}')).id
        for source in ("/shop", "/far", "/fa")
        for id in ("e", "re", hexadecimal, "z" * 32)
    }
    assert len(set(ids.values())) == len(ids)
    assert all(len(bytes.fromhex(id)) == 16 for id in ids.values())
    assert ids["/shop", hexadecimal] == hexadecimal
    again = edge.received(CloudEvent(id="e", source="/far", type="Grown", data=b'{"name":"b"}'))
    assert again.id == ids["/far", "e"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"type": "Nothing"}, UnknownMessageType),
        ({"data": b"{}"}, BadPayload),
        ({"data": b"\xff"}, BadPayload),
        ({"data": None}, BadPayload),
        ({"datacontenttype": "text/xml"}, UnknownContentType),
        ({"extensions": {"schemaversion": 2}}, UnknownVersion),
        ({"extensions": {"schemaversion": "x"}}, BadCloudEvent),
        ({"extensions": {"schemaversion": 0}}, BadCloudEvent),
        ({"extensions": {"schemaversion": "9" * 5_000}}, BadCloudEvent),
        ({"extensions": {"expirytime": "soon"}}, BadCloudEvent),
        ({"extensions": {"expirytime": "2001-01-01T00:00:00Z"}}, DeadlineExceeded),
        ({"extensions": {"big": "☕" * 30_000}}, BadCloudEvent),
    ],
)
def test_an_event_that_is_no_message_is_typed(change: dict[str, Any], error: type[CatgaError]) -> None:
    event = CloudEvent(id="1", source="/a", type="Placed", data=b'{"order":"a"}')
    with pytest.raises(error):
        CloudEvents(shop(), "/shop").received(msgspec.structs.replace(event, **change))


def test_batches_are_refused_by_name() -> None:
    with pytest.raises(UnknownContentType, match="batch"):
        CloudEvents(shop(), "/shop").read([("content-type", "application/cloudevents-batch+json")], b"[]")


def test_older_versions_are_lifted_and_msgpack_is_read() -> None:
    edge = CloudEvents(shop(), "/shop")
    old = CloudEvent(id="1", source="/a", type="Grown", data=b'{"old":"a"}', extensions={"schemaversion": 1})
    assert edge.received(old).message == Grown("a!")
    packed = msgspec.structs.replace(
        old, data=msgspec.msgpack.encode({"old": "b"}), datacontenttype="application/x-msgpack; a=b"
    )
    assert edge.received(packed).message == Grown("b!")


def test_an_event_goes_through_an_app_and_leaves_it_with_all_that_it_had() -> None:
    left: list[CloudEvent] = []

    async def main() -> None:
        scene = Scene()
        app = scene.app("shop")
        edge = CloudEvents(app, "/shop")

        @app.handler(Placed)
        async def placed(event: Placed, ctx: Context) -> None:
            left.append(edge.event(event, ctx))

        came = CloudEvent(
            id="e",
            source="/far",
            type="Placed",
            subject="s",
            time=datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))),
            extensions={"tenant": "acme", "strange": "5", "traceparent": "00-x"},
            data=b'{"order":"a"}',
        )
        # CloudEvents knows what the app knows when it is made.
        edge = CloudEvents(app, "/shop")
        async with scene.running(app):
            for _ in range(2):
                received = edge.received(came)
                await scene.run(app.publish(received.message, id=received.id, headers=received.headers))
                await scene.run(app.settled())

    run(main())
    (event,) = left
    assert event.id != "e"
    assert (event.source, event.subject) == ("/shop", "s")
    assert event.extensions == {
        "tenant": "acme",
        "strange": "5",
        "traceparent": "00-x",
        "schemaversion": 1,
        "partitionkey": "a",
    }


def test_a_context_without_an_envelope_has_an_identity() -> None:
    app = shop()
    ctx = Context(app)
    edge = CloudEvents(app, "/shop")
    assert edge.event(Grown("a"), ctx).id == ctx.id
