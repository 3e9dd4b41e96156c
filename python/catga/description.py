"""What an app is, as data: read from its registrations, without starting it and without opening anything."""

import types
from collections.abc import Sequence
from typing import Any, Literal, Union, get_args, get_origin
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from catga.app import Catga
from catga.backends import backend_of
from catga.errors import ConfigurationError, MessageDefinitionError
from catga.guarantees import Guarantee, guarantees
from catga.mediator.handlers import Batch, Handler, Retry
from catga.mediator.registry import Registry
from catga.messages import Message, reply_type
from catga.ports.messages import PARTS
from catga.result import Err, Ok
from catga.running import check_live, check_writing
from catga.transaction import Connection, Transaction

Plan = Literal["pure", "transactional", "live"]


class MessageInfo(msgspec.Struct, frozen=True):
    """One message type. `channel` is None for queries, which never leave the process."""

    name: str
    kind: str
    type: str
    version: int
    key: str | None
    priority: int
    channel: str | None
    reply: str | None
    aliases: tuple[str, ...]


class RetryInfo(msgspec.Struct, frozen=True):
    """A retry policy, with the waits it comes to (seconds, before jitter takes some off)."""

    immediate: int
    waits: tuple[float, ...]
    jitter: float
    on: tuple[str, ...]


class HandlerInfo(msgspec.Struct, frozen=True):
    """One handler. `plan` says how it is called: pure ones touch no store, live ones hear what is broadcast; of those of one
    `group` one does. A `durable` one is reached through the store by `enqueue` and `publish`, whatever its plan. `retry` is
    None where nothing would retry. A `remote` one answers other processes."""

    id: str
    message: str
    where: str
    plan: Plan
    durable: bool
    middleware: tuple[str, ...]
    asks: tuple[str, ...]
    batch: Batch | None
    retry: RetryInfo | None
    concurrent: bool
    when_dead: str
    aliases: tuple[str, ...]
    group: str | None
    remote: bool


class ChannelInfo(msgspec.Struct, frozen=True):
    """What is published to one channel, and who takes it."""

    name: str
    parts: int
    messages: tuple[str, ...]
    handlers: tuple[str, ...]


class AppInfo(msgspec.Struct, frozen=True):
    """A whole app. `mistakes` would keep it from starting; passwords in its URLs are left out."""

    name: str
    store: str | None
    transport: str | None
    bus: str | None
    messages: tuple[MessageInfo, ...]
    handlers: tuple[HandlerInfo, ...]
    channels: tuple[ChannelInfo, ...]
    guarantees: tuple[Guarantee, ...]
    features: tuple[dict[str, Any], ...]
    mistakes: tuple[str, ...]


def describe(app: Catga) -> AppInfo:
    """Everything that can be known of an app before it starts.

    >>> from catga import Catga, Command
    >>> class Add(Command[int]):
    ...     a: int
    >>> app = Catga("sums")
    >>> @app.handler(Add)
    ... async def add(cmd: Add) -> int:
    ...     return cmd.a
    >>> [handler.plan for handler in describe(app).handlers]
    ['pure']
    """
    registry = registry_of(app)
    mistakes: list[ConfigurationError] = registry.check()
    for feature in app.features:
        mistakes += feature.check(app)
    store = backend_of("store", app.store, app.clock, mistakes)
    transport = backend_of("transport", app.transport, app.clock, mistakes)
    backend_of("bus", app.bus, app.clock, mistakes)
    for handler, _ in registry.handlers:
        mistakes += check_live(app, handler) or check_writing(app, store, handler)
    messages = tuple(_message(app, message) for message in registry.messages)
    handlers = tuple(
        handler_info(app, handler, layers) for handler, layers in registry.handlers if is_message(handler.message)
    )
    return AppInfo(
        app.name,
        shown_backend(app.store),
        shown_backend(app.transport),
        shown_backend(app.bus),
        messages,
        handlers,
        _channels(messages, handlers),
        tuple(guarantees(app, store, transport)),
        tuple(feature.describe() for feature in app.features),
        tuple(str(mistake) for mistake in mistakes),
    )


def registry_of(app: Catga) -> Registry:
    """What the app was told, as its start would read it."""
    return Registry(app.registrations(), app.upcasters(), app.messages)


def is_message(candidate: Any) -> bool:
    """Whether a handler was registered for something that can be a message at all."""
    return isinstance(candidate, type) and issubclass(candidate, Message)


def handler_info(app: Catga, handler: Handler, layers: Sequence[Any]) -> HandlerInfo:
    """One handler, in the app it will run in."""
    annotations = [parameter.annotation for parameter in handler.parameters()]
    durable = app.store is not None and handler.kind in ("command", "event") and not handler.live
    writes = Transaction in annotations or Connection in annotations
    called_through_store = durable and (writes or handler.kind == "event" or handler.batch is not None)
    return HandlerInfo(
        handler.id,
        handler.message.__catga__.name,
        handler.where,
        "live" if handler.live else "transactional" if called_through_store else "pure",
        durable,
        tuple(layer_name(layer) for layer in layers),
        tuple(type_name(annotation) for annotation in annotations),
        handler.batch,
        _retry(handler.retry or app.retry) if durable else None,
        handler.concurrent,
        handler.when_dead,
        handler.aliases,
        handler.group,
        handler.remote,
    )


def layer_name(layer: Any) -> str:
    """A middleware as its author knows it."""
    return str(getattr(layer, "__qualname__", type(layer).__qualname__)).replace("<locals>.", "")


def type_name(annotation: Any) -> str:
    """A type as it is written; `Ok[T] | Err[E]` reads `Result[T, E]` again."""
    if annotation is None or annotation is type(None):
        return "None"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        good = [argument for argument in arguments if get_origin(argument) is Ok]
        bad = [argument for argument in arguments if get_origin(argument) is Err]
        if len(good) == len(bad) == 1 and len(arguments) == 2:
            return f"Result[{type_name(get_args(good[0])[0])}, {type_name(get_args(bad[0])[0])}]"
        return " | ".join(map(type_name, arguments))
    if origin is not None and arguments:
        return f"{type_name(origin)}[{', '.join(map(type_name, arguments))}]"
    return str(getattr(annotation, "__name__", annotation)).replace("typing.", "")


def shown_backend(backend: Any) -> str | None:
    """A URL without its secrets, or the name of an object's class with its identity."""
    if backend is None:
        return None
    if not isinstance(backend, str):
        identity = getattr(backend, "store_id", "")
        return f"{type(backend).__name__}({identity})"
    parts = urlsplit(backend)
    host = parts.netloc.rpartition("@")
    netloc = f"***@{host[2]}" if host[1] else parts.netloc
    query = urlencode([(name, "***" if _secret(name) else value) for name, value in parse_qsl(parts.query)], safe="*/:")
    if not netloc:
        return backend if not parts.query else f"{backend.partition('?')[0]}?{query}"
    return urlunsplit(parts._replace(netloc=netloc, query=query))


def _secret(name: str) -> bool:
    return any(word in name.lower() for word in ("pass", "secret", "token", "key"))


def _message(app: Catga, message: type[Message]) -> MessageInfo:
    spec = message.__catga__
    travels = spec.kind in ("command", "event")
    try:
        reply = None if spec.kind == "event" else type_name(reply_type(message))
    except MessageDefinitionError:
        reply = "?"  # named among the mistakes
    where = f"{message.__module__}.{message.__qualname__}"
    return MessageInfo(
        spec.name,
        spec.kind,
        where,
        spec.version,
        spec.key,
        spec.priority,
        (spec.channel or app.name) if travels else None,
        reply,
        spec.aliases,
    )


def _retry(policy: Retry) -> RetryInfo:
    waits = tuple(policy.wait(failures, 0.0) for failures in range(1, policy.delayed + 1))
    return RetryInfo(policy.immediate, waits, policy.jitter, tuple(error.__name__ for error in policy.on))


def _channels(messages: Sequence[MessageInfo], handlers: Sequence[HandlerInfo]) -> tuple[ChannelInfo, ...]:
    found: list[ChannelInfo] = []
    for name in sorted({message.channel for message in messages if message.channel is not None}):
        published = tuple(message.name for message in messages if message.channel == name)
        found.append(
            ChannelInfo(
                name,
                PARTS,
                published,
                tuple(handler.id for handler in handlers if handler.message in published and handler.plan != "live"),
            )
        )
    return tuple(found)
