"""`CloudEvents`: an app's messages as events for others, and events of others as messages."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from catga.cloudevents.binary import CONTENT_TYPE, PREFIX, read_binary
from catga.cloudevents.event import CloudEvent, Value, bad, parsed, stamp, text_of
from catga.cloudevents.structured import STRUCTURED, is_json, read_structured
from catga.context import Context
from catga.envelope import Envelope, Headers, Wire
from catga.envelope import headers as names
from catga.envelope.content import JSON, MEDIA, MSGPACK, RAW, UNREADABLE
from catga.envelope.forms import Form, Forms
from catga.errors import BadPayload, DeadlineExceeded, InvalidArgument, UnknownContentType
from catga.mediator.registry import Registry
from catga.messages import Message

VERSION: Final = "schemaversion"
EXPIRY: Final = "expirytime"
KEY: Final = "partitionkey"
SAME: Final = {
    names.TENANT: "tenant",
    names.CORRELATION: "correlationid",
    names.CAUSE: "causationid",
    names.TRACEPARENT: "traceparent",
    names.TRACESTATE: "tracestate",
}
"""Our headers and the extensions that say the same."""
OURS: Final = {VERSION, EXPIRY, KEY, *SAME.values()}
_PACKED: Final = ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack")


class Received(msgspec.Struct, frozen=True):
    """An event as a message: `await app.publish(received.message, id=received.id, headers=received.headers)`."""

    message: Message
    id: str
    """32 hexadecimal digits made of the event's source and id: the same event again is the same message."""
    headers: Headers


class CloudEvents:
    """The edge of one app. `source` is the URI that its events come from.

    An event's `type` is a message's name. Extensions that nobody here knows become headers named `ce-…`, and extensions
    again on the way out.
    """

    def __init__(self, app: Any, source: str) -> None:
        registry = Registry(app.registrations(), app.upcasters(), app.messages)
        self._app = app
        self._source = source
        self._forms = Forms(registry.messages, app.name, registry.upcasts, Wire(codec="json"))

    def event(self, message: Message, about: Context | Envelope | None = None) -> CloudEvent:
        """For others; `about` is what is known of the message beside its fields: the context of the handler that has it,
        or its envelope. Data is JSON, where the class names no other codec."""
        form = self._forms.of(message.__class__)
        now = self._app.clock.wall_ms()
        envelope = about._envelope if isinstance(about, Context) else about
        id = envelope.id.hex() if envelope is not None else about.id if isinstance(about, Context) else None
        headers = {} if envelope is None else envelope.headers
        extensions: dict[str, Value] = {
            name.removeprefix(PREFIX): text
            for name, text in headers.items()
            if name.startswith(PREFIX) and name not in (f"{PREFIX}id", f"{PREFIX}source")
        }
        own = {name: str(extensions.pop(name)) for name in ("subject", "dataschema") if name in extensions}
        extensions |= {SAME[name]: headers[name] for name in SAME if name in headers}
        extensions[VERSION] = form.version
        if (key := form.key(message)) is not None:
            extensions[KEY] = key.decode("utf-8", "replace")
        if envelope is not None and envelope.deadline_ms:
            extensions[EXPIRY] = stamp(datetime.fromtimestamp(envelope.deadline_ms / 1000, UTC))
        return CloudEvent(
            id=id or self._app.ids.next(now).hex(),
            source=self._source,
            type=form.name,
            datacontenttype=MEDIA[form.codec],
            time=datetime.fromtimestamp((now if envelope is None else envelope.created_ms) / 1000, UTC),
            extensions=extensions,
            data=form.write(message),
            **own,
        ).check()

    def read(self, headers: Iterable[tuple[str, str]], body: bytes) -> Received:
        """What a request or a message of a broker says, in either mode."""
        pairs = list(headers)
        media = next((value for name, value in pairs if name.lower() == CONTENT_TYPE), "")
        kind = media.partition(";")[0].strip().lower()
        if kind == STRUCTURED:
            return self.received(read_structured(body))
        if kind.startswith("application/cloudevents"):
            raise UnknownContentType(f"{kind} is not known here", fix=f"send {STRUCTURED}, or binary mode")
        return self.received(read_binary(pairs, body))

    def received(self, event: CloudEvent) -> Received:
        """The message that an event is; typed errors for one that is none."""
        form = self._forms.named(event.type)
        known = {name: text_of(event.extensions[name]) for name in OURS if name in event.extensions}
        try:
            message = form.message(_codec(form, event), _version(form, known), _payload(form, event))
        except UNREADABLE as error:
            raise BadPayload(
                f"the data of {event.type} does not decode",
                where=f"event {event.id}",
                why=str(error),
                fix="mend its sender",
            ) from None
        more = {PREFIX + name: text_of(value) for name, value in event.extensions.items() if name not in OURS}
        more |= {f"{PREFIX}id": event.id, f"{PREFIX}source": event.source}
        more |= {f"{PREFIX}{name}": text for name in ("subject", "dataschema") if (text := getattr(event, name))}
        headers = Headers(
            tenant=known.get("tenant"),
            correlation_id=known.get("correlationid"),
            causation_id=known.get("causationid"),
            traceparent=known.get("traceparent"),
            tracestate=known.get("tracestate"),
            within=self._within(event, known.get(EXPIRY)),
            more=more,
        )
        try:
            headers.ext()
        except InvalidArgument as error:
            raise bad("its attributes are too long", error.why) from None
        return Received(message, self._id(event), headers)

    def _id(self, event: CloudEvent) -> str:
        """What came from here has the id that it left with."""
        if event.source == self._source and len(event.id) == 32:
            try:
                return bytes.fromhex(event.id).hex()
            except ValueError:
                pass  # an id of somebody who uses our source; it is hashed as all others are
        return hashlib.sha256(f"{len(event.source)}:{event.source}{event.id}".encode()).digest()[:16].hex()

    def _within(self, event: CloudEvent, expiry: str | None) -> float | None:
        if expiry is None:
            return None
        left: float = (parsed(expiry).timestamp() * 1000 - self._app.clock.wall_ms()) / 1000
        if left <= 0:
            raise DeadlineExceeded(
                f"the event {event.type} came after its expirytime",
                where=f"event {event.id}",
                fix="nothing: its sender no longer wants it",
            )
        return left


def _version(form: Form, known: Mapping[str, str]) -> int:
    """Who says none means the newest."""
    text = known.get(VERSION)
    if text is None:
        return form.version
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 0xFFFF):
        raise bad(f"its schemaversion is {text!r:.80}")
    return int(text)


def _codec(form: Form, event: CloudEvent) -> int:
    if form.codec == RAW:
        return RAW
    media = event.datacontenttype
    if is_json(media):
        return JSON
    if media is not None and media.partition(";")[0].strip().lower() in _PACKED:
        return MSGPACK
    raise UnknownContentType(
        f"the data of {event.type} is {media!r:.80}", where=f"event {event.id}", fix="send application/json"
    )


def _payload(form: Form, event: CloudEvent) -> bytes:
    if event.data is not None:
        return event.data
    return b"" if form.codec == RAW else b"{}" if is_json(event.datacontenttype) else b"\x80"
