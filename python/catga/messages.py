"""Messages: frozen msgspec structs whose class says what they reply, how they are named and what keeps them in order."""

import sys
from collections.abc import Callable
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    ForwardRef,
    Generic,
    Literal,
    TypeVar,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
)

import msgspec

from catga.errors import MessageDefinitionError

if TYPE_CHECKING:
    # A bare `Command` replies None: defaults of type variables exist for checkers only before Python 3.13.
    from typing_extensions import TypeVar as _TypeVar

    R = _TypeVar("R", covariant=True, default=None)
else:
    R = TypeVar("R", covariant=True)
T = TypeVar("T", covariant=True)

PRIORITIES: Final = 8
MAX_VERSION: Final = 0xFFFF
CODECS: Final = ("msgpack", "json", "raw")
"""How the fields of a message can be written."""
NORMAL: Final = 4
"""Priorities go from 0 (first) to 7 (last); this one is the default."""


class Spec(msgspec.Struct, frozen=True, gc=False):
    """What a message class says of itself: fixed when the class is made."""

    kind: str
    name: str
    version: int
    key: str | None
    priority: int
    channel: str | None
    aliases: tuple[str, ...]
    codec: str | None = None


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class MessageMeta(msgspec.StructMeta):
    """Takes the class keywords of messages, which `__init_subclass__` cannot have on a msgspec struct."""

    def __new__(
        mcls,
        clsname: str,
        bases: tuple[type, ...],
        ns: dict[str, Any],
        /,
        *,
        name: str | None = None,
        version: int = 1,
        key: str | None = None,
        priority: int = NORMAL,
        channel: str | None = None,
        aliases: tuple[str, ...] = (),
        codec: Literal["msgpack", "json", "raw"] | None = None,
        **struct: Any,
    ) -> "MessageMeta":
        """Makes the class; `key` names the field (or property) that keeps messages of the same value in order."""
        struct.setdefault("frozen", True)
        cls = super().__new__(mcls, clsname, bases, ns, **struct)
        parent: Spec | None = getattr(cls, "__catga__", None)
        if parent is not None:
            key = key or parent.key
            channel = channel or parent.channel
            codec = codec or cast(Any, parent.codec)
        fields: tuple[str, ...] = cls.__struct_fields__
        where = f"{ns.get('__module__', '')}.{ns.get('__qualname__', clsname)}"
        if key is not None and key not in fields and not isinstance(getattr(cls, key, None), property):
            raise MessageDefinitionError(
                f"{clsname} has no field {key!r} to be its key",
                where=where,
                why=f"its fields are: {', '.join(fields) or '(none)'}",
                fix="name one of them in key=, or a property of the class",
            )
        if not 0 <= priority < PRIORITIES:
            raise MessageDefinitionError(
                f"{clsname} has priority {priority}",
                where=where,
                fix=f"give one from 0 (first) to {PRIORITIES - 1} (last)",
            )
        if not 1 <= version <= MAX_VERSION:
            raise MessageDefinitionError(
                f"{clsname} has version {version}", where=where, fix=f"count versions from 1 to {MAX_VERSION}"
            )
        if codec not in (None, *CODECS):
            raise MessageDefinitionError(
                f"{clsname} has codec {codec!r}", where=where, fix=f"give one of: {', '.join(CODECS)}"
            )
        if codec == "raw" and len(fields) != 1:
            raise MessageDefinitionError(
                f"{clsname} has codec 'raw' and {len(fields)} fields",
                where=where,
                why="its bytes travel as they are, and are all of the message",
                fix="give it one field, of type bytes",
            )
        kind = getattr(cls, "__catga_kind__", "")
        cls.__catga__ = Spec(kind, name or clsname, version, key, priority, channel, aliases, codec)  # type: ignore[attr-defined]
        return cls


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Message(msgspec.Struct, metaclass=MessageMeta):
    """What commands, queries and events have in common; not used by itself."""

    __catga__: ClassVar[Spec]


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Command(Message, Generic[R]):
    """Asks for something to be done, by exactly one handler, which replies `R` (a bare `Command` replies None).

    >>> class PlaceOrder(Command[int], key="customer"):
    ...     customer: str
    >>> PlaceOrder("ann")
    PlaceOrder(customer='ann')
    """

    __catga_kind__: ClassVar[str] = "command"


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Query(Message, Generic[T]):
    """Asks for a value, changes nothing; one handler."""

    __catga_kind__: ClassVar[str] = "query"


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class StreamQuery(Message, Generic[T]):
    """Asks for many values, one after the other; its handler is an async generator, read by `app.iterate`."""

    __catga_kind__: ClassVar[str] = "stream"


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Event(Message):
    """Says that something has happened, to any number of handlers."""

    __catga_kind__: ClassVar[str] = "event"


def reply_type(cls: type[Message]) -> Any:
    """What a command, query or stream query declares to reply; None where it declares nothing, and for events."""
    for base in cls.__mro__:
        for alias in base.__dict__.get("__orig_bases__", ()):
            if get_origin(alias) in (Command, Query, StreamQuery):
                (reply,) = get_args(alias)
                if isinstance(reply, TypeVar):
                    return None
                return _resolve(reply, base) if isinstance(reply, (str, ForwardRef)) else reply
    return None


def _resolve(reply: str | ForwardRef, owner: type) -> Any:
    text = reply if isinstance(reply, str) else reply.__forward_arg__
    try:
        return eval(text, vars(sys.modules[owner.__module__]), {owner.__name__: owner})  # noqa: S307 - an annotation of the user's own module
    except NameError as error:
        raise MessageDefinitionError(
            f"the reply type {text!r} of {owner.__name__} is not known",
            where=f"{owner.__module__}.{owner.__qualname__}",
            why=str(error),
            fix="import or define it at the top of that module",
        ) from error


def key_getter(cls: type[Message]) -> Callable[[Any], bytes | None]:
    """A function from a message to its ordering key as bytes; always None for a message without one."""
    field = cls.__catga__.key
    if field is None:
        return _no_key

    def get(message: Any) -> bytes | None:
        value = getattr(message, field)
        if value.__class__ is str:
            return value.encode()
        if value is None:
            return None
        return value if value.__class__ is bytes else str(value).encode()

    return get


def _no_key(message: Any) -> bytes | None:
    return None
