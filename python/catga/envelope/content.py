"""Content types: how a message's fields become the payload of its frame, and back."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from catga.errors import UnknownContentType
from catga.messages import Message

MSGPACK: Final = 0
JSON: Final = 1
RAW: Final = 2

NUMBERS: Final[Mapping[str, int]] = {"msgpack": MSGPACK, "json": JSON, "raw": RAW}
"""By the names that classes and channels choose them with. The numbers are those of the frame's `codec` field."""

MEDIA: Final[Mapping[int, str]] = {
    MSGPACK: "application/msgpack",
    JSON: "application/json",
    RAW: "application/octet-stream",
}

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that do not say what they should."""

Read: TypeAlias = Callable[[Any], Any]
Write: TypeAlias = Callable[[Any], bytes]

_packed: Final = msgspec.msgpack.Encoder().encode
_json: Final = msgspec.json.Encoder().encode


def writer(cls: type[Message], number: int) -> Write:
    """From a message to its payload."""
    if number == RAW:
        (field,) = cls.__struct_fields__
        return lambda message: bytes(getattr(message, field))
    return _packed if number == MSGPACK else _json


def reader(cls: type[Message], number: int) -> Read:
    """From a payload to the message; raises what msgspec raises."""
    if number != RAW:
        return fields_reader(number, cls)
    if cls.__catga__.codec == "raw":
        make: Any = cls
        return lambda payload: make(bytes(payload))
    # Its class may have been a raw one; a stranger may say so of any other.
    return lambda payload: msgspec.convert(fields(cls, RAW, payload), cls)


def fields_reader(number: int, kind: Any = dict[str, Any]) -> Read:
    """From a payload that is no raw one to what it says, as plain data or as `kind`; `UnknownContentType` for a number that
    this release does not know."""
    if number == MSGPACK:
        return msgspec.msgpack.Decoder(kind).decode
    if number == JSON:
        return msgspec.json.Decoder(kind).decode
    raise UnknownContentType(
        f"content type {number} is not known",
        why=f"known are: {', '.join(f'{n} ({media})' for n, media in MEDIA.items())}",
        fix="deploy the release that the sender has here too; the message waits as a dead letter until then",
    )


def fields(cls: type[Message], number: int, payload: Any) -> dict[str, Any]:
    """The fields of an older version, for its upcasters."""
    if number == RAW:
        if len(cls.__struct_fields__) != 1:
            raise UnknownContentType(
                f"{cls.__catga__.name} came as raw bytes, and is more than that",
                fix="mend the sender, or deploy its release here too",
            )
        return {cls.__struct_fields__[0]: bytes(payload)}
    found: dict[str, Any] = fields_reader(number)(payload)
    return found
