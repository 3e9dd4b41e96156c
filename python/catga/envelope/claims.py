"""Claims: a payload that is too large to travel stays in the blobs, and its frame says which it is."""

import hashlib
from typing import Annotated, Any, Final

import msgspec

from catga.envelope.record import Envelope
from catga.errors import BadPayload, BlobMissing
from catga.messages import Message

SIZE: Final = 32


class Claim(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What travels in the place of a payload: its length and its SHA-256."""

    size: Annotated[int, msgspec.Meta(ge=0)]
    digest: Annotated[bytes, msgspec.Meta(min_length=SIZE, max_length=SIZE)]

    @classmethod
    def of(cls, payload: bytes) -> "Claim":
        """For a payload that stays."""
        return cls(len(payload), hashlib.sha256(payload).digest())

    def name(self, id: bytes) -> str:
        """Where it is kept. Made here and never taken from a frame: who writes frames cannot name other blobs."""
        return f"{id.hex()}-{self.digest[:16].hex()}"

    def fits(self, content: bytes) -> bool:
        """Whether this is what was kept."""
        return len(content) == self.size and hashlib.sha256(content).digest() == self.digest


class Kept(msgspec.Struct, frozen=True, gc=False):
    """A payload on its way to the blobs; it must be there before its frame is committed."""

    name: str
    payload: bytes
    due_ms: int


class Claimed(BlobMissing):
    """Stands where a message would, until its payload is fetched; says then, in `error`, why it was not."""

    def __init__(self, cls: type[Message], envelope: Envelope, claim: Claim, frame: tuple[Any, ...]) -> None:
        super().__init__(
            f"the payload of {envelope.type} is not in the blobs",
            where=f"message {envelope.id.hex()}",
            why=f"it was put aside for its {claim.size:,} bytes; it was removed for its age, or this app has no blobs",
            fix="give this app the blobs= of the sender, or send the message again",
        )
        self.cls = cls
        self.envelope = envelope
        self.claim = claim
        self.frame = frame
        self.error: Exception = self

    @property
    def name(self) -> str:
        """Of the blob."""
        return self.claim.name(self.envelope.id)


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Claim)


def write(claim: Claim) -> bytes:
    """As a payload."""
    return _encoder.encode(claim)


def read(payload: Any) -> Claim:
    """From a payload; `BadPayload` where it is none."""
    try:
        return _decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise BadPayload("a claim does not decode", why=str(error), fix="mend the sender") from None
