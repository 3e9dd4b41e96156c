"""Why a message goes where it goes: one message type followed from its verb to its handlers' failures."""

import difflib
from collections.abc import Sequence

import msgspec

from catga import _core
from catga.app import Catga
from catga.description import HandlerInfo, RetryInfo, describe, registry_of
from catga.errors import UnknownMessageType
from catga.messages import Message
from catga.ports.messages import PARTS


class Visit(msgspec.Struct, frozen=True):
    """One handler on the way: `order` from the outermost layer inwards, `failing` in the order of events."""

    handler: HandlerInfo
    order: tuple[str, ...]
    failing: tuple[str, ...]


class Explanation(msgspec.Struct, frozen=True):
    """A message type's way, each step with its reason. `part` is known where a key was given."""

    name: str
    kind: str
    type: str
    version: int
    reply: str | None
    priority: int
    verbs: dict[str, str]
    channel: str | None
    channel_why: str
    key: str | None
    key_why: str
    part: int | None
    parts: int
    visits: tuple[Visit, ...]


def find_message(app: Catga, name: str) -> type[Message]:
    """The message type of a durable name, an alias or a class name; `UnknownMessageType` lists near misses."""
    types = registry_of(app).messages
    names: dict[str, type[Message]] = {}
    for message in types:
        for known in (message.__name__, *message.__catga__.aliases, message.__catga__.name):
            names[known] = message
    if name in names:
        return names[name]
    folded = {known.lower(): known for known in names}
    near = [folded[match] for match in difflib.get_close_matches(name.lower(), folded, 3, 0.5)]
    fix = (
        f"did you mean {' or '.join(near)}?" if near else "register a handler for it, or name it in Catga(messages=[…])"
    )
    raise UnknownMessageType(
        f"no message is named {name!r} in app {app.name!r}",
        why=f"known are: {', '.join(sorted(names)) or '(none)'}",
        fix=fix,
    )


def explain(app: Catga, name: str, key: str | None = None) -> Explanation:
    """Follows one message; with `key`, to the part its key falls into. Nothing is started or opened."""
    cls = find_message(app, name)
    spec = cls.__catga__
    info = describe(app)
    message = next(message for message in info.messages if message.name == spec.name)
    handlers = [handler for handler in info.handlers if handler.message == spec.name]
    stored = app.store is not None
    return Explanation(
        spec.name,
        spec.kind,
        message.type,
        spec.version,
        message.reply,
        spec.priority,
        _verbs(spec.kind, handlers, stored, app.bus is not None),
        message.channel,
        _channel_why(spec.channel, message.channel, app.name),
        spec.key,
        _key_why(spec.key, message.channel),
        _core.crc32c(key.encode()) % PARTS
        if key is not None and message.channel is not None and spec.key is not None
        else None,
        PARTS,
        tuple(
            Visit(handler, (*handler.middleware, _short(handler.id)), tuple(_failing(spec.kind, handler, spec.key)))
            for handler in handlers
        ),
    )


def _verbs(kind: str, handlers: Sequence[HandlerInfo], stored: bool, live: bool) -> dict[str, str]:
    if kind == "stream":
        return {"iterate": "its handler's values, as it yields them; nothing is stored"}
    if kind == "event":
        told = {"broadcast": "its subscribers hear it now, in all apps on the bus, at most once"} if live else {}
        if not stored:
            return told | {
                "publish": "its handlers run in this process before publish returns; their failures are raised together"
            }
        return told | {"publish": "committed to the store, then each handler has its own mark, retries and dead letter"}
    send = (
        "no: its handler takes lists"
        if any(handler.batch for handler in handlers)
        else "the handler's own coroutine; the reply is given when it returns"
    )
    if any(handler.plan == "transactional" and not handler.batch for handler in handlers):
        send = "the handler runs now, the reply is given after its commit"
    if kind == "query":
        return {"send": send}
    queued = (
        "committed to the store, handled by whichever instance holds its part"
        if stored
        else "queued in this process's memory"
    )
    return {"send": send, "enqueue": queued}


def _channel_why(declared: str | None, channel: str | None, app: str) -> str:
    if channel is None:
        return "queries are answered in this process and travel through no channel"
    if declared is not None:
        return f"its class says channel={declared!r}"
    return f"its class names no channel, so it shares that of its app, {app!r}"


def _key_why(key: str | None, channel: str | None) -> str:
    if channel is None:
        return "nothing is queued, so nothing needs an order"
    if key is None:
        return "its class names no key: messages are spread over the parts by their ids and have no order"
    return f"messages with equal {key!r} are handled in order, one at a time"


def _failing(kind: str, handler: HandlerInfo, key: str | None) -> list[str]:
    if handler.plan == "live":
        return ["it is logged and counted; nothing is retried, and nobody hears it again"]
    if handler.retry is None:
        if kind == "event":
            return [
                "publish raises it in an ExceptionGroup, after the other handlers have run",
                "nothing is retried: the app has no store",
            ]
        if kind == "command":
            return ["send raises it", "enqueue logs it; nothing is retried: the app has no store"]
        return ["it is raised to the caller"]
    steps: list[str] = []
    if kind == "command" and handler.plan == "pure":
        steps.append("by send: raised to the caller, nothing is retried")
    elif kind == "command" and handler.batch is None:
        tries = f"tried {_times(handler.retry.immediate)} again in place, then " if handler.retry.immediate else ""
        steps.append(f"by send: rolled back, {tries}raised to the caller")
    prefix = "by enqueue: " if kind == "command" else ""
    steps.append(f"{prefix}what it wrote and published is discarded; {_retries(handler.retry)}")
    if key is not None and handler.retry.waits:
        steps.append(f"meanwhile later messages with its {key!r} wait behind it")
    after = (
        "its key waits for the replay (when_dead=block)"
        if handler.when_dead == "block"
        else "its key goes on without it (when_dead=skip)"
    )
    steps.append(f"then it is a dead letter; {after}" if key is not None else "then it is a dead letter")
    return steps


def _retries(retry: RetryInfo) -> str:
    parts: list[str] = []
    if retry.immediate:
        parts.append(f"tried {_times(retry.immediate)} again in place")
    if retry.waits:
        waits = ", ".join(f"{wait:g}" for wait in retry.waits[:6]) + (", …" if len(retry.waits) > 6 else "")
        parts.append(f"tried {_times(len(retry.waits))} again after {waits} s (up to {retry.jitter:.0%} less)")
    only = "" if retry.on == ("Exception",) else f", for {', '.join(retry.on)} only"
    return (", then ".join(parts) or "not tried again") + only


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _short(handler: str) -> str:
    return handler.rpartition(".")[2]
