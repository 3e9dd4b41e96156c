"""The registry: everything that was registered, checked as a whole before anything starts."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from catga.errors import (
    ConfigurationError,
    DuplicateHandler,
    DuplicateName,
    HandlerDefinitionError,
    MessageDefinitionError,
    MissingUpcaster,
)
from catga.mediator.handlers import Handler, check_handler
from catga.mediator.pipeline import check_middleware
from catga.mediator.router import Middleware, Upcaster
from catga.messages import Event, Message, reply_type

Upcasts = dict[type[Any], dict[int, Callable[[dict[str, Any]], dict[str, Any]]]]


class Registry:
    """What an app was told, in the order it was told."""

    def __init__(
        self,
        handlers: Sequence[tuple[Handler, tuple[Middleware, ...]]],
        upcasters: Sequence[Upcaster],
        messages: Sequence[type[Message]],
    ) -> None:
        self.handlers = handlers
        self.messages: list[type[Message]] = list(
            dict.fromkeys([*messages, *(handler.message for handler, _ in handlers if _is_message(handler.message))])
        )
        self.upcasts: Upcasts = {}
        for upcaster in upcasters:
            self.upcasts.setdefault(upcaster.message, {})[upcaster.version] = upcaster.function

    def check(self) -> list[ConfigurationError]:
        """Every mistake, so that all are mended in one go."""
        mistakes: list[ConfigurationError] = []
        seen: dict[type[Message], Handler] = {}
        ids: dict[str, Handler] = {}
        for handler, middleware in self.handlers:
            if not _is_message(handler.message):
                mistakes.append(
                    HandlerDefinitionError(
                        f"{handler.message!r} is no message type",
                        where=handler.where,
                        fix="register for a class derived from Command, Query, StreamQuery or Event",
                    )
                )
                continue
            mistakes += check_handler(handler)
            mistakes += filter(None, map(check_middleware, middleware))
            first = seen.setdefault(handler.message, handler)
            if first is not handler and not issubclass(handler.message, Event):
                mistakes.append(
                    DuplicateHandler(
                        f"{handler.message.__name__} has two handlers",
                        where=f"{first.where} and {handler.where}",
                        fix="keep one; events may have many",
                    )
                )
            for id in (handler.id, *handler.aliases):
                if ids.setdefault(id, handler) is not handler:
                    mistakes.append(
                        DuplicateHandler(
                            f"two handlers have the id {id!r}",
                            where=f"{ids[id].where} and {handler.where}",
                            fix="give one of them id=",
                        )
                    )
        mistakes += self._check_names()
        for message in self.messages:
            mistakes += self._check_message(message)
        return mistakes

    def _check_names(self) -> list[ConfigurationError]:
        mistakes: list[ConfigurationError] = []
        names: dict[str, type[Message]] = {}
        for message in self.messages:
            for name in (message.__catga__.name, *message.__catga__.aliases):
                other = names.setdefault(name, message)
                if other is not message:
                    where = f"{other.__module__}.{other.__qualname__} and {message.__module__}.{message.__qualname__}"
                    mistakes.append(
                        DuplicateName(
                            f"two messages are named {name!r}", where=where, fix="give one of them another name="
                        )
                    )
        return mistakes

    def _check_message(self, message: type[Message]) -> list[ConfigurationError]:
        mistakes: list[ConfigurationError] = []
        where = f"{message.__module__}.{message.__qualname__}"
        try:
            strange = _strange(msgspec.inspect.type_info(message)) | _strange(
                msgspec.inspect.type_info(reply_type(message))
            )
        except MessageDefinitionError as error:
            return [error]
        except (TypeError, NameError) as error:
            return [
                MessageDefinitionError(
                    f"{message.__name__} cannot be encoded",
                    where=where,
                    why=str(error),
                    fix="use types that msgspec knows",
                )
            ]
        if strange:
            mistakes.append(
                MessageDefinitionError(
                    f"{message.__name__} holds or replies what cannot be encoded: {', '.join(sorted(strange))}",
                    where=where,
                    fix="use data: structs, numbers, text, lists; an error as a reply is an enum or a struct",
                )
            )
        if message.__catga__.codec == "raw" and msgspec.structs.fields(message)[0].type is not bytes:
            mistakes.append(
                MessageDefinitionError(
                    f"{message.__name__} has codec 'raw', and its field is no bytes", where=where, fix="make it bytes"
                )
            )
        version = message.__catga__.version
        known = self.upcasts.get(message, {})
        mistakes += [
            MissingUpcaster(
                f"{message.__name__} is at version {version}, and nothing lifts version {step}",
                where=where,
                fix=f"write `@app.upcast({message.__name__}, {step})` over a function from its old fields to the next version's",
            )
            for step in range(1, version)
            if step not in known
        ]
        return mistakes


def _is_message(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, Message) and candidate is not Message


def _strange(info: Any, seen: frozenset[Any] = frozenset()) -> set[str]:
    if isinstance(info, msgspec.inspect.CustomType):
        return {info.cls.__name__}
    cls = getattr(info, "cls", None)
    if cls in seen:
        return set()
    inner = seen | {cls} if cls is not None else seen
    parts: list[Any] = []
    for name in ("fields", "types", "item_types"):
        parts += [getattr(part, "type", part) for part in getattr(info, name, ()) or ()]
    parts += [
        part for name in ("item_type", "key_type", "value_type") if (part := getattr(info, name, None)) is not None
    ]
    return {name for part in parts for name in _strange(part, inner)}
