"""What comes back from a handler in another process: its reply, or what went wrong, as data."""

from collections.abc import Callable
from typing import Any

import msgspec

from catga.errors import CatgaError, RemoteError

_encode = msgspec.msgpack.Encoder().encode


class Failed(msgspec.Struct, frozen=True):
    """An exception on its way; its class is not brought back to life."""

    type: str
    what: str
    code: str


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """One of both; the reply is encoded by itself, as only the asker's class says what it is."""

    reply: msgspec.Raw
    failed: Failed | None = None


_decode = msgspec.msgpack.Decoder(Answer).decode
_NONE = msgspec.Raw(b"\xc0")


def replied(reply: Any) -> bytes:
    """A handler's reply, `Err` among them."""
    return _encode(Answer(msgspec.Raw(_encode(reply))))


def failed(error: BaseException) -> bytes:
    """What its handler, or the way to it, has raised."""
    kind = type(error)
    code = error.code if isinstance(error, CatgaError) else ""
    what = error.what if isinstance(error, CatgaError) else str(error)
    return _encode(
        Answer(_NONE, Failed(f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."), what, code))
    )


def read(answer: bytes, decode: Callable[[Any], Any], where: str) -> Any:
    """The reply; raises `RemoteError` where there is none."""
    try:
        found = _decode(answer)
        if found.failed is None:
            return decode(found.reply)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise RemoteError(
            "the answer does not decode",
            where=where,
            why=str(error),
            fix="both sides must agree on the class of the message, and on what it replies",
        ) from error
    wrong = found.failed
    raise RemoteError(
        f"{wrong.type}: {wrong.what}" if not wrong.code else f"{wrong.type} [{wrong.code}]: {wrong.what}",
        type=wrong.type,
        remote_code=wrong.code,
        where=where,
        why="its handler has failed there",
        fix="see the log of the service that answers",
    )
