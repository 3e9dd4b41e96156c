"""A dead letter as it is shown: its row in words, and its payload as plain data."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from catga import _core
from catga.app import Catga
from catga.delivery.failures import history_of
from catga.description import registry_of
from catga.envelope import Codec, bare
from catga.errors import CatgaError
from catga.ports.store import Parked


class Try(msgspec.Struct, frozen=True):
    """One failed try."""

    attempt: int
    at: str
    type: str
    what: str
    trace: str


class Letter(msgspec.Struct, frozen=True):
    """A dead letter without its payload."""

    id: str
    message: str
    handler: str
    channel: str
    part: int
    key: str | None
    failures: int
    created_at: str
    failed_at: str
    reason: str
    history: tuple[Try, ...]

    def as_data(self) -> dict[str, Any]:
        """As plain data."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data


def letter(row: Parked) -> Letter:
    """From a row; reads the frame's header and nothing behind it."""
    name, created, key = "(no frame)", "", row.key
    try:
        unpacked = _core.unpack(row.frame)
        name, created, key = unpacked[9], moment(unpacked[6]), unpacked[10]
    except _core.FrameError:
        pass  # bytes that are no frame are a reason to be here
    history = tuple(Try(f.attempt, moment(f.at_ms), f.type, f.what, f.trace) for f in history_of(row))
    failed = history[-1].at if history else ""
    return Letter(
        row.id.hex(),
        name,
        row.handler,
        row.channel,
        row.part,
        _text(key),
        row.failures,
        created,
        failed,
        row.reason,
        history,
    )


def payload_of(row: Parked, app: Catga | None) -> Any:
    """What is in it: as the app's own type where the app is known, as bare fields otherwise."""
    if app is not None:
        registry = registry_of(app)
        (found,) = Codec(registry.messages, app.name, registry.upcasts, app.wire).decode([row.frame])
        if isinstance(found, tuple):
            return msgspec.to_builtins(found[0], enc_hook=str)
    try:
        return bare(row.frame)
    except (_core.FrameError, CatgaError):
        return {"bytes": row.frame.hex()}


def _text(key: bytes | None) -> str | None:
    if key is None:
        return None
    try:
        return key.decode()
    except UnicodeDecodeError:
        return f"0x{key.hex()}"


def moment(ms: int) -> str:
    """In UTC, to the millisecond."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
