"""`Codec`: an app's messages as frames, and back (see docs/frames.md)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from catga import _core
from catga.envelope.record import Envelope
from catga.errors import BadPayload, InvalidArgument, TooLarge, UnknownMessageType, UnknownVersion
from catga.messages import Message, key_getter
from catga.ports.messages import PARTS, Outgoing

KINDS: Final = {"command": 0, "query": 1, "stream": 2, "event": 3}
MSGPACK: Final = 0
MAX_BYTES: Final = 16 * 1024 * 1024

Upcast = Callable[[dict[str, Any]], dict[str, Any]]


Decoded: TypeAlias = tuple[Message, Envelope] | Exception
"""A frame's message, or what is wrong with it."""


class Form(msgspec.Struct, eq=False):
    """How one message type is written and read."""

    type: type[Message]
    name: str
    kind: int
    version: int
    priority: int
    channel: str
    key: Callable[[Any], bytes | None]
    decoder: msgspec.msgpack.Decoder[Any]
    upcasts: dict[int, Upcast]


class Codec:
    """Turns an app's messages into frames and back; knows only the types it was given."""

    def __init__(
        self,
        types: Sequence[type[Message]],
        channel: str,
        upcasts: Mapping[type[Any], dict[int, Upcast]],
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._max_bytes = max_bytes
        self._forms: dict[type[Message], Form] = {}
        self._names: dict[str, Form] = {}
        for cls in types:
            spec = cls.__catga__
            form = Form(
                cls,
                spec.name,
                KINDS[spec.kind],
                spec.version,
                spec.priority,
                spec.channel or channel,
                key_getter(cls),
                msgspec.msgpack.Decoder(cls),
                dict(upcasts.get(cls, {})),
            )
            self._forms[cls] = form
            for name in (spec.name, *spec.aliases):
                self._names[name] = form

    def channels(self) -> list[str]:
        """Every channel these types are published to."""
        return sorted({form.channel for form in self._forms.values()})

    def form(self, cls: type[Message]) -> Form:
        """How a type is written; `UnknownMessageType` where this app does not know it."""
        try:
            return self._forms[cls]
        except KeyError:
            raise UnknownMessageType(
                f"{cls.__name__} is not known to this app",
                why="it has no handler here and was not declared",
                fix="register a handler, or name it in Catga(messages=[…])",
            ) from None

    def named(self, name: str) -> Form:
        """The type of a name, or of a name it had."""
        try:
            return self._names[name]
        except KeyError:
            raise UnknownMessageType(
                f"no message is named {name!r} here",
                why=f"known are: {', '.join(sorted(self._names)) or '(none)'}",
                fix="deploy the app that knows it, or add it to aliases= of the class it became",
            ) from None

    def encode(
        self,
        message: Message,
        id: bytes,
        created_ms: int,
        due_ms: int = 0,
        deadline_ms: int = 0,
        ext: bytes | None = None,
        flags: int = 0,
    ) -> Outgoing:
        """A message ready to be stored or sent; `TooLarge` where its frame passes the limit."""
        form = self._forms.get(message.__class__) or self.form(message.__class__)
        key = form.key(message)
        due = due_ms or created_ms
        payload = self._encode(message)
        if len(payload) > self._max_bytes:
            raise TooLarge(
                f"{form.name} is {len(payload):,} bytes",
                why=f"the limit is {self._max_bytes:,}",
                fix="send a reference to the data instead, or raise max_bytes",
            )
        priority = form.priority
        frame = _core.pack(
            form.kind,
            MSGPACK,
            priority,
            form.version,
            id,
            created_ms,
            due,
            deadline_ms,
            form.name,
            key,
            ext,
            payload,
            flags,
        )
        part = (_core.crc32c(key) if key is not None else id[15]) % PARTS
        return Outgoing(id, form.channel, part, key, priority, due, frame)

    def decode(self, frames: Sequence[bytes]) -> list[Decoded]:
        """A batch of frames in one call; what is wrong with one stands in its place."""
        found: list[Decoded] = []
        names = self._names
        for unpacked in _core.unpack_many(frames, self._max_bytes + 0x1_0000):
            if not isinstance(unpacked, tuple):
                found.append(unpacked)
                continue
            _, flags, _, priority, version, id, created, due, deadline, name, key, ext, payload = unpacked
            form = names.get(name)
            try:
                if form is None:
                    form = self.named(name)
                message = form.decoder.decode(payload) if version == form.version else _lift(form, version, payload)
            except msgspec.MsgspecError as error:
                found.append(
                    BadPayload(
                        f"the payload of {name} does not decode",
                        where=f"message {id.hex()}",
                        why=str(error),
                        fix="mend the sender, or replay it after the type is mended",
                    )
                )
                continue
            except Exception as error:
                found.append(error)
                continue
            found.append((message, Envelope(id, name, version, priority, created, due, deadline, key, ext, flags)))
        return found

    def encode_value(self, value: Any) -> bytes:
        """A reply or a note, as it is stored."""
        return self._encode(value)


def id_of(text: str) -> bytes:
    """The bytes of an id as people write it; `InvalidArgument` where it is none."""
    try:
        id = bytes.fromhex(text)
    except (TypeError, ValueError):
        id = b""
    if len(id) != 16:
        raise InvalidArgument(
            f"{text!r} is no id", fix="give 32 hexadecimal digits, such as those of ctx.new_id() or uuid.uuid7().hex"
        )
    return id


def _lift(form: Form, version: int, payload: Any) -> Message:
    if version > form.version:
        raise UnknownVersion(
            f"{form.name} came as version {version}, this app knows {form.version}",
            fix="deploy the newer app here too; the message waits as a dead letter until then",
        )
    fields = msgspec.msgpack.decode(payload, type=dict[str, Any])
    for step in range(version, form.version):
        fields = form.upcasts[step](fields)
    return msgspec.convert(fields, form.type)
