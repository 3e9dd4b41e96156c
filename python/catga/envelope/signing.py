"""Signatures: who has no key can neither make nor change a message, and an old one does not come twice."""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from catga import _core
from catga.envelope import headers as names
from catga.envelope.record import SIGNED
from catga.errors import BadHeaders, BadSignature, ConfigurationError, Replayed

SIZE: Final = 32
SHORTEST: Final = 32
"""Bytes of a key: those of the hash, as RFC 2104 wants it."""

_DOMAIN: Final = b"catga envelope 1\0"
_CHECKSUM: Final = slice(64, 68)
_DAY: Final = 86_400.0


class Signing(msgspec.Struct, frozen=True, kw_only=True):
    """HMAC-SHA256 over everything a frame says. Messages are signed with the key named `sign`, and accepted under any of
    `keys` (a name to its 32 or more bytes): a new key is first accepted everywhere, then signed with, and the old one
    goes when nothing signed with it can come any more.

    What arrives more than `max_age` seconds after it was due is refused; a younger copy is known to the inbox, so the
    age must lie within its window, which is also what None means. With `required=False` unsigned messages are accepted,
    while an app goes over to signing.
    """

    keys: Mapping[str, bytes]
    sign: str
    max_age: float | None = None
    required: bool = True

    def __repr__(self) -> str:
        return f"Signing(keys={sorted(self.keys)}, sign={self.sign!r}, max_age={self.max_age})"

    def check(self, window_days: int) -> Sequence[ConfigurationError]:
        """Mistakes, before anything starts."""
        mistakes: list[ConfigurationError] = []
        if self.sign not in self.keys:
            mistakes.append(
                ConfigurationError(
                    f"nothing can be signed with the key {self.sign!r}",
                    where="Signing(sign=…)",
                    why=f"keys are: {', '.join(sorted(self.keys)) or '(none)'}",
                    fix="name one of them",
                )
            )
        mistakes += [
            ConfigurationError(
                f"the key {name!r} has {len(key)} bytes",
                where="Signing(keys=…)",
                fix=f"give at least {SHORTEST} random ones, and a name of 1 to 64 characters",
            )
            for name, key in self.keys.items()
            if len(key) < SHORTEST or not 0 < len(name) <= 64
        ]
        if self.max_age is not None and not 0 < self.max_age <= window_days * _DAY:
            mistakes.append(
                ConfigurationError(
                    f"max_age={self.max_age} is longer than messages are known, or nothing",
                    where="Signing(max_age=…)",
                    why=f"the inbox knows a message for {window_days} days; after that an old one could come again",
                    fix="give fewer seconds, or raise window_days",
                )
            )
        return mistakes


class Signer:
    """Signs what is encoded, judges what arrives."""

    def __init__(self, signing: Signing) -> None:
        self._keys = dict(signing.keys)
        self._key = signing.keys[signing.sign]
        self._name = msgspec.msgpack.encode(names.KEY) + msgspec.msgpack.encode(signing.sign)
        self._max_age_ms = None if signing.max_age is None else signing.max_age * 1000
        self._required = signing.required

    def named(self, ext: bytes | None) -> bytes:
        """The headers with the name of the key."""
        if ext is None:
            return b"\x81" + self._name
        # A map of up to 15 entries counts them in its first byte.
        if 0x80 <= ext[0] < 0x8F:
            return bytes((ext[0] + 1,)) + ext[1:] + self._name
        return names.with_key(ext, self._name)

    def sign(self, frame: bytes) -> bytes:
        """The frame, whose payload ends in room for it, with its signature."""
        head, body = frame[: _CHECKSUM.start], frame[_CHECKSUM.stop : -SIZE]
        signature = hmac.digest(self._key, _DOMAIN + head + body, "sha256")
        checksum = _core.crc32c(signature, _core.crc32c(body, _core.crc32c(head)))
        return b"".join((head, checksum.to_bytes(4, "little"), body, signature))

    def judge(self, frames: Sequence[bytes], now_ms: int, most: int) -> list[Exception | None]:
        """What is wrong with each of those that arrived now; before anything of a payload is looked at."""
        return [
            self._wrong(frame, unpacked, now_ms) if isinstance(unpacked, tuple) else unpacked
            for frame, unpacked in zip(frames, _core.unpack_many(frames, most), strict=True)
        ]

    def _wrong(self, frame: bytes, unpacked: tuple[Any, ...], now_ms: int) -> Exception | None:
        id, created_ms, due_ms, type, ext = (unpacked[place] for place in (5, 6, 7, 9, 11))
        where = f"message {id.hex()}"
        if not unpacked[1] & SIGNED:
            return (
                BadSignature(f"{type!r:.80} is not signed", where=where, fix="let its sender sign, or throw it away")
                if self._required
                else None
            )
        try:
            name = names.read(ext, id).get(names.KEY) if ext else None
        except BadHeaders as error:
            return error
        key = self._keys.get(name or "")
        if key is None:
            return BadSignature(
                f"{type!r:.80} is signed with a key that is not accepted here",
                where=where,
                why=f"it names {name!r:.80}",
                fix="add the key to Signing(keys=…) and replay the message, or throw it away",
            )
        if not hmac.compare_digest(
            hmac.digest(key, _DOMAIN + frame[: _CHECKSUM.start] + frame[_CHECKSUM.stop : -SIZE], "sha256"),
            frame[-SIZE:],
        ):
            return BadSignature(
                f"the signature of {type!r:.80} does not match",
                where=where,
                why="it was changed on its way, or made without the key",
                fix="throw it away, and find out who sent it",
            )
        if self._max_age_ms is not None and now_ms - max(created_ms, due_ms) > self._max_age_ms:
            return Replayed(
                f"{type!r:.80} came {(now_ms - max(created_ms, due_ms)) / 1000:,.0f} s after it was due",
                where=where,
                why=f"no more than {self._max_age_ms / 1000:,.0f} are accepted",
                fix="if it is no copy, send what it asks for again",
            )
        return None
