"""Envelopes: a message with its identity as the bytes that travel and are stored (see docs/envelope.md)."""

from catga.envelope.codec import Codec, Decoded, bare, id_of
from catga.envelope.headers import Headers
from catga.envelope.record import DAY_MS, NAMED, Envelope
from catga.envelope.wire import MAX_BYTES, Wire

__all__ = ["DAY_MS", "MAX_BYTES", "NAMED", "Codec", "Decoded", "Envelope", "Headers", "Wire", "bare", "id_of"]
