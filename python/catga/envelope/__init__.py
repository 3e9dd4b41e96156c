"""Envelopes: a message with its identity as the bytes that travel and are stored (see docs/envelope.md)."""

from catga.envelope.claims import Claimed
from catga.envelope.codec import Codec, Decoded, bare, blob_of, id_of
from catga.envelope.headers import Headers
from catga.envelope.record import DAY_MS, NAMED, RETURNING, Envelope
from catga.envelope.signing import Signing
from catga.envelope.wire import MAX_BYTES, Wire

__all__ = [
    "DAY_MS",
    "MAX_BYTES",
    "NAMED",
    "RETURNING",
    "Claimed",
    "Codec",
    "Decoded",
    "Envelope",
    "Headers",
    "Signing",
    "Wire",
    "bare",
    "blob_of",
    "id_of",
]
