"""Forms: how each message type of an app is written and read."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from catga.envelope.content import NUMBERS, Read, Write, fields, reader, writer
from catga.envelope.wire import Wire
from catga.errors import UnknownMessageType, UnknownVersion
from catga.messages import Message, key_getter

KINDS: Final = {"command": 0, "query": 1, "stream": 2, "event": 3}

Upcast = Callable[[dict[str, Any]], dict[str, Any]]


class Form(msgspec.Struct, eq=False):
    """One type's: `codec` and `write` for its payloads, `read` for those of this version and codec."""

    type: type[Message]
    name: str
    kind: int
    version: int
    priority: int
    channel: str
    key: Callable[[Any], bytes | None]
    codec: int
    write: Write
    read: Read
    readers: dict[int, Read]
    upcasts: dict[int, Upcast]

    def message(self, codec: int, version: int, payload: Any) -> Message:
        """Out of a payload as it was written by any release, in any codec."""
        if version == self.version:
            if codec not in self.readers:
                self.readers[codec] = reader(self.type, codec)
            read: Message = self.readers[codec](payload)
            return read
        if version > self.version:
            raise UnknownVersion(
                f"{self.name} came as version {version}, this app knows {self.version}",
                fix="deploy the newer app here too; the message waits as a dead letter until then",
            )
        if version < 1:
            raise UnknownVersion(
                f"{self.name} came as version {version}", why="versions count from 1", fix="mend its sender"
            )
        old = fields(self.type, codec, payload)
        for step in range(version, self.version):
            old = self.upcasts[step](old)
        return msgspec.convert(old, self.type)


class Forms:
    """All of an app's, by class and by name."""

    def __init__(
        self,
        types: Sequence[type[Message]],
        channel: str,
        upcasts: Mapping[type[Any], dict[int, Upcast]],
        wire: Wire,
    ) -> None:
        self.by_type: dict[type[Message], Form] = {}
        self.by_name: dict[str, Form] = {}
        for cls in types:
            spec = cls.__catga__
            place = spec.channel or channel
            codec = NUMBERS[spec.codec or wire.channels.get(place, wire.codec)]
            read = reader(cls, codec)
            form = Form(
                cls,
                spec.name,
                KINDS[spec.kind],
                spec.version,
                spec.priority,
                place,
                key_getter(cls),
                codec,
                writer(cls, codec),
                read,
                {codec: read},
                dict(upcasts.get(cls, {})),
            )
            self.by_type[cls] = form
            for name in (spec.name, *spec.aliases):
                self.by_name[name] = form

    def of(self, cls: type[Message]) -> Form:
        """How a type is written; `UnknownMessageType` where this app does not know it."""
        try:
            return self.by_type[cls]
        except KeyError:
            raise UnknownMessageType(
                f"{cls.__name__} is not known to this app",
                why="it has no handler here and was not declared",
                fix="register a handler, or name it in Catga(messages=[…])",
            ) from None

    def named(self, name: str) -> Form:
        """The type of a name, or of a name it had."""
        try:
            return self.by_name[name]
        except KeyError:
            raise UnknownMessageType(
                f"no message is named {name!r} here",
                why=f"known are: {', '.join(sorted(self.by_name)) or '(none)'}",
                fix="deploy the app that knows it, or add it to aliases= of the class it became",
            ) from None
