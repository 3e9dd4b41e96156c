"""`Codec`: an app's messages as frames, and back (see docs/frames.md)."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from catga import _core
from catga.envelope import claims
from catga.envelope.claims import Claim, Claimed, Kept
from catga.envelope.compression import compress, decompress
from catga.envelope.content import RAW, UNREADABLE, fields_reader
from catga.envelope.forms import Form, Forms, Upcast
from catga.envelope.record import CLAIMED, COMPRESSED, NAMED, SIGNED, Envelope
from catga.envelope.signing import SIZE, Signer
from catga.envelope.wire import MAX_BYTES, Wire
from catga.errors import BadPayload, CatgaError, InvalidArgument, TooLarge, UnknownContentType
from catga.messages import Message
from catga.ports.messages import PARTS, Outgoing

Decoded: TypeAlias = tuple[Message, Envelope] | Exception
"""A frame's message, or what is wrong with it."""

SPECIAL: Final = ~NAMED
"""Flags that say that the payload is not as its codec wrote it."""
KNOWN: Final = NAMED | COMPRESSED | SIGNED | CLAIMED
HEADER: Final = 68
MARGIN: Final = 256
"""Bytes that a signature, and the name of its key, add to a frame."""
AROUND: Final = 0x4_0000
"""Bytes of a frame beside its payload: no sender of ours makes more."""


class Codec:
    """Turns an app's messages into frames and back; knows only the types it was given."""

    def __init__(
        self,
        types: Sequence[type[Message]],
        channel: str,
        upcasts: Mapping[type[Any], dict[int, Upcast]],
        wire: Wire = Wire(),
        carries: int = sys.maxsize,
        keeps: bool = False,
    ) -> None:
        self._encode_value = msgspec.msgpack.Encoder().encode
        forms = Forms(types, channel, upcasts, wire)
        self._forms = forms
        self._by_type = forms.by_type
        self._by_name = forms.by_name
        self._signer = None if wire.signing is None else Signer(wire.signing)
        self._max_bytes = wire.max_bytes
        self._most = wire.max_bytes + AROUND
        self._compress_above = wire.compress_above
        self._carries = carries
        self._keeps = keeps
        self._claim_above = sys.maxsize if wire.claim_above is None else wire.claim_above
        # Payloads up to here are as they will travel: one comparison for most messages.
        limits = (wire.max_bytes, wire.compress_above, wire.claim_above, max(0, carries - AROUND))
        self._plain = min(limit for limit in limits if limit is not None)
        self.unkept: list[Kept] = []
        """What must be in the blobs before the frames just encoded are committed."""

    def channels(self) -> list[str]:
        """Every channel these types are published to."""
        return sorted({form.channel for form in self._forms.by_type.values()})

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
        form = self._by_type.get(message.__class__) or self._forms.of(message.__class__)
        key = form.key(message)
        due = due_ms or created_ms
        payload = form.write(message)
        if len(payload) > self._plain:
            around = len(key or b"") + len(ext or b"")
            payload, flags = self._shortened(form, payload, flags, around, id, due)
        signer = self._signer
        if signer is not None:
            payload, ext, flags = payload + bytes(SIZE), signer.named(ext), flags | SIGNED
        priority = form.priority
        frame = _core.pack(
            form.kind,
            form.codec,
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
            self._most,
        )
        if signer is not None:
            frame = signer.sign(frame)
        part = (_core.crc32c(key) if key is not None else id[15]) % PARTS
        return Outgoing(id, form.channel, part, key, priority, due, frame)

    def _shortened(self, form: Form, payload: bytes, flags: int, around: int, id: bytes, due: int) -> tuple[bytes, int]:
        if len(payload) > self._max_bytes:
            raise TooLarge(
                f"{form.name} is {len(payload):,} bytes",
                why=f"the limit is {self._max_bytes:,}",
                fix="send a reference to the data instead, or raise Wire(max_bytes=…)",
            )
        if self._compress_above is not None and len(payload) > self._compress_above:
            shorter = compress(payload)
            if len(shorter) < len(payload):
                payload, flags = shorter, flags | COMPRESSED
        too_large = HEADER + len(form.name.encode()) + around + len(payload) + MARGIN > self._carries
        if not too_large and len(payload) <= self._claim_above:
            return payload, flags
        if not self._keeps:
            raise TooLarge(
                f"{form.name} is {len(payload):,} bytes",
                why=f"the transport carries {self._carries:,}",
                fix="give the app blobs='file:///blobs' (or a database) for large payloads",
            )
        claim = Claim.of(payload)
        self.unkept.append(Kept(claim.name(id), payload, due))
        return claims.write(claim), flags | CLAIMED

    def receive(self, frames: Sequence[bytes], now_ms: int) -> list[Decoded]:
        """As `decode`, for what arrives from outside: signatures are judged first, and once. What is parked afterwards
        was accepted, and stays so when its key goes."""
        if self._signer is None:
            return self.decode(frames)
        judged = self._signer.judge(frames, now_ms, self._most)
        found = iter(self.decode([frame for frame, wrong in zip(frames, judged, strict=True) if wrong is None]))
        return [next(found) if wrong is None else wrong for wrong in judged]

    def decode(self, frames: Sequence[bytes]) -> list[Decoded]:
        """A batch of frames in one call; what is wrong with one stands in its place."""
        found: list[Decoded] = []
        names = self._by_name
        for unpacked in _core.unpack_many(frames, self._most):
            if not isinstance(unpacked, tuple):
                found.append(unpacked)
                continue
            _, flags, codec, priority, version, id, created, due, deadline, name, key, ext, payload = unpacked
            form = names.get(name)
            try:
                if form is None:
                    form = self._forms.named(name)
                if flags & SPECIAL:
                    if flags & CLAIMED:
                        found.append(_claimed(form, unpacked, self._max_bytes))
                        continue
                    payload = self._lengthened(flags, payload)
                if version == form.version and codec == form.codec:
                    message = form.read(payload)
                else:
                    message = form.message(codec, version, payload)
            except UNREADABLE as error:
                found.append(
                    BadPayload(
                        f"the payload of {name} does not decode",
                        where=f"message {id.hex()}",
                        why=str(error),
                        fix="mend the sender, or replay it after the type is mended",
                    )
                )
                continue
            except CatgaError as error:
                error.where = error.where or f"message {id.hex()}"
                found.append(error)
                continue
            except Exception as error:
                found.append(error)
                continue
            found.append((message, Envelope(id, name, version, priority, created, due, deadline, key, ext, flags)))
        return found

    def _lengthened(self, flags: int, payload: Any) -> Any:
        if flags & ~KNOWN:
            raise UnknownContentType(
                f"the payload is wrapped in a way that is not known (flags {flags:#04x})",
                fix="deploy the release that the sender has here too; the message waits as a dead letter until then",
            )
        return _unwrapped(flags, payload, self._max_bytes)

    def redeem(self, claimed: Claimed, content: bytes) -> Decoded:
        """The message whose payload is this; what is wrong with it otherwise."""
        if not claimed.claim.fits(content):
            return BadPayload(
                f"the payload of {claimed.envelope.type} in the blobs is not what was put there",
                where=f"message {claimed.envelope.id.hex()}",
                fix="find out who writes to the blobs; send the message again",
            )
        kind, flags, codec, priority, version, id, created, due, deadline, name, key, ext, _ = claimed.frame
        plain = flags & COMPRESSED
        frame = _core.pack(
            kind, codec, priority, version, id, created, due, deadline, name, key, ext, content, plain, self._most
        )
        (found,) = self.decode([frame])
        return (found[0], claimed.envelope) if isinstance(found, tuple) else found

    def encode_value(self, value: Any) -> bytes:
        """A reply or a note, as it is stored."""
        return self._encode_value(value)


def bare(frame: bytes) -> Any:
    """What a frame says where its type is not known: plain data, or bytes; raises what `Codec.decode` would."""
    unpacked = _core.unpack(frame, len(frame))
    flags, codec, payload = unpacked[1], unpacked[2], unpacked[12]
    if flags & CLAIMED:
        return {"blob": blob_of(frame)}
    payload = _unwrapped(flags, payload, MAX_BYTES)
    try:
        return bytes(payload) if codec == RAW else fields_reader(codec, Any)(payload)
    except UNREADABLE as error:
        raise BadPayload("the payload does not decode", why=str(error), fix="mend the sender") from None


def _claimed(form: Form, unpacked: tuple[Any, ...], most: int) -> Claimed:
    _, flags, _, priority, version, id, created, due, deadline, name, key, ext, payload = unpacked
    envelope = Envelope(id, name, version, priority, created, due, deadline, key, ext, flags)
    claim = claims.read(_unwrapped(flags & SIGNED, payload, 0))
    if claim.size > most:
        raise TooLarge(
            f"the payload of {name} in the blobs is {claim.size:,} bytes",
            why=f"the limit is {most:,}",
            fix="raise Wire(max_bytes=…) to that of the sender",
        )
    return Claimed(form.type, envelope, claim, unpacked)


def blob_of(frame: bytes) -> str | None:
    """Where a frame's payload is, if it was put into the blobs."""
    if len(frame) < HEADER or not frame[4] & CLAIMED:
        return None
    unpacked = _core.unpack(frame, len(frame))
    return claims.read(_unwrapped(unpacked[1] & SIGNED, unpacked[12], 0)).name(unpacked[5])


def _unwrapped(flags: int, payload: Any, most: int) -> Any:
    if flags & SIGNED:
        payload = payload[:-SIZE]
    return decompress(payload, most) if flags & COMPRESSED else payload


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
