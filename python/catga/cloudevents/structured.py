"""Structured mode: the whole event as one JSON document (`application/cloudevents+json`)."""

import base64
import binascii
from typing import Any, Final

import msgspec

from catga.cloudevents.event import CloudEvent, bad, made, stamp
from catga.envelope.content import UNREADABLE

STRUCTURED: Final = "application/cloudevents+json"

_document: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_value: Final = msgspec.json.Decoder(str | int | bool | None)
_text: Final = msgspec.json.Decoder(str)


def is_json(media: str | None) -> bool:
    """Whether data of this type is JSON; that of no type is."""
    if media is None:
        return True
    kind = media.partition(";")[0].strip().lower()
    return kind in ("application/json", "text/json") or kind.endswith("+json")


def write_structured(event: CloudEvent) -> bytes:
    """As a JSON document. Data that is JSON stands in it as it is, other data in base64."""
    event.check()
    found: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "datacontenttype": event.datacontenttype,
        "dataschema": event.dataschema,
        "subject": event.subject,
        "time": None if event.time is None else stamp(event.time),
        **{name: _plain(value) for name, value in event.extensions.items()},
    }
    document: dict[str, Any] = {name: value for name, value in found.items() if value is not None}
    if event.data is not None:
        if is_json(event.datacontenttype):
            _check_json(event.data)
            document["data"] = msgspec.Raw(event.data)
        else:
            document["data_base64"] = base64.b64encode(event.data).decode()
    return msgspec.json.encode(document)


def read_structured(body: bytes) -> CloudEvent:
    """From a JSON document; `BadCloudEvent` where it is none."""
    try:
        document = _document.decode(body)
        data, encoded = document.pop("data", None), document.pop("data_base64", None)
        attributes = {name: value for name, raw in document.items() if (value := _value.decode(raw)) is not None}
        return made(attributes, _data(data, encoded, attributes.get("datacontenttype")))
    except (*UNREADABLE, binascii.Error) as error:
        raise bad("it does not decode", str(error)) from None


def _data(data: Any, encoded: Any, media: Any) -> bytes | None:
    if encoded is not None and bytes(encoded) != b"null":
        if data is not None:
            raise bad("it has both data and data_base64")
        return base64.b64decode(_text.decode(encoded), validate=True)
    if data is None or (bytes(data) == b"null" and not is_json(media if isinstance(media, str) else None)):
        return None
    if isinstance(media, str) and not is_json(media):
        # Of another type, data is text in a JSON string.
        return _text.decode(data).encode()
    return bytes(data)


def _check_json(data: bytes) -> None:
    """What is put into the document as it is must not end it."""
    try:
        msgspec.json.decode(data)
    except UNREADABLE as error:
        raise bad("its data is no JSON", str(error)) from None


def _plain(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
