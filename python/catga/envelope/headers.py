"""Headers: what a sender puts beside a message, and what is handed on from one message to those it causes."""

from collections.abc import Mapping
from typing import Final

import msgspec

from catga.errors import BadHeaders, InvalidArgument

TENANT: Final = "tenant"
CORRELATION: Final = "correlation"
CAUSE: Final = "cause"
TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
KEY: Final = "kid"

KNOWN: Final = frozenset({TENANT, CORRELATION, CAUSE, TRACEPARENT, TRACESTATE, KEY})
HANDED_ON: Final = (TENANT, TRACEPARENT, TRACESTATE)
MOST: Final = 64 * 1024
"""Bytes of all headers of a message."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, str]).decode


class Headers(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a message beside its fields: given to `send`, `enqueue`, `publish` and `schedule`, read from `Context`.

    `within` is the seconds after which nobody wants it handled any more. All but that and `more` are handed on to what
    its handlers send, publish and schedule; commands that they send or enqueue inherit what is left of the seconds.

    >>> Headers(tenant="acme", within=5.0, more={"source": "web"}).tenant
    'acme'
    """

    tenant: str | None = None
    correlation_id: str | None = None
    """What all messages have in common that come of this one; its own id where nothing is given."""
    causation_id: str | None = None
    """The message whose handling sends this one."""
    traceparent: str | None = None
    tracestate: str | None = None
    within: float | None = None
    more: Mapping[str, str] = {}

    def ext(self) -> bytes | None:
        """As bytes; `InvalidArgument` where they cannot be used."""
        taken = KNOWN.intersection(self.more)
        if taken:
            raise InvalidArgument(f"more= has {', '.join(sorted(taken))}", fix="give it by its own name in Headers(…)")
        found = {
            TENANT: self.tenant,
            CORRELATION: self.correlation_id,
            CAUSE: self.causation_id,
            TRACEPARENT: self.traceparent,
            TRACESTATE: self.tracestate,
            **self.more,
        }
        given = {name: value for name, value in found.items() if value is not None}
        wrong = [name for name, value in given.items() if not (isinstance(name, str) and isinstance(value, str))]  # pyright: ignore[reportUnnecessaryIsInstance]
        if wrong:
            raise InvalidArgument(f"headers that are no text: {', '.join(map(repr, wrong))}", fix="give str")
        ext = _encode(given) if given else None
        if ext is not None and len(ext) > MOST:
            raise InvalidArgument(
                f"headers of {len(ext):,} bytes", why=f"the limit is {MOST:,}", fix="put data into the message"
            )
        return ext

    def deadline_ms(self, now_ms: int) -> int:
        """The moment after which it is not handled; 0 for none."""
        if self.within is None:
            return 0
        if not 0 < self.within < 1e10:
            raise InvalidArgument(f"within={self.within} is no time to handle anything", fix="give seconds above 0")
        return now_ms + max(1, int(self.within * 1000))


def read(ext: bytes, id: bytes) -> dict[str, str]:
    """The headers in these bytes; `BadHeaders` where they are none."""
    try:
        if len(ext) > MOST:
            raise msgspec.DecodeError(f"{len(ext):,} bytes, above the limit of {MOST:,}")
        return _decode(ext)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadHeaders(
            "the headers of a message do not decode",
            where=f"message {id.hex()}",
            why=str(error),
            fix="mend its sender",
        ) from None


def with_trace(ext: bytes | None, id: bytes, traceparent: str) -> bytes:
    """Headers of which those that are handed on name another span."""
    if not ext and len(traceparent) == 55:
        return b"\x81\xabtraceparent\xd9\x37" + traceparent.encode()
    return _encode({**(read(ext, id) if ext else {}), TRACEPARENT: traceparent})


def with_key(ext: bytes, pair: bytes) -> bytes:
    """Headers of any number, and the encoded pair that names a key."""
    return _encode(_decode(ext) | _decode(b"\x81" + pair))


def correlation(headers: Mapping[str, str], id: bytes) -> str:
    """A message without one is the first (its id), or the child of the first (its cause): those need not carry it."""
    return headers.get(CORRELATION) or headers.get(CAUSE) or id.hex()


def caused_by(id: bytes) -> bytes:
    """The headers that name the message whose handling sent this one: the msgpack of {"cause": id in hexadecimal}."""
    return b"\x81\xa5cause\xd9\x20" + id.hex().encode()


def carried(headers: Mapping[str, str], id: bytes) -> bytes:
    """The headers of a message that is sent while one with these is handled."""
    found = {CAUSE: id.hex()}
    if headers.get(CORRELATION) or headers.get(CAUSE):
        found[CORRELATION] = correlation(headers, id)
    found |= {name: headers[name] for name in HANDED_ON if name in headers}
    return _encode(found)
