"""What is known of a handler: its form, its parameters and its options, read once when it is registered."""

import inspect
import sys
import typing
from collections.abc import AsyncIterator, Callable
from typing import Any, get_args, get_origin

import msgspec

from catga.errors import HandlerDefinitionError
from catga.messages import Message, reply_type


class Batch(msgspec.Struct, frozen=True):
    """How a batch handler's list is filled: it closes at `size` items, `bytes` of payload, or when its oldest item has
    waited `wait` seconds, whichever comes first."""

    size: int = 100
    wait: float = 1.0
    bytes: int = 4 * 1024 * 1024


class Retry(msgspec.Struct, frozen=True):
    """When a failed handler runs again: `immediate` tries in place, then `delayed` ones after waits that grow from
    `first` by `factor` to at most `most` seconds, each with up to `jitter` of it taken off; then a dead letter."""

    immediate: int = 0
    delayed: int = 5
    first: float = 1.0
    factor: float = 2.0
    most: float = 300.0
    jitter: float = 0.5
    on: tuple[type[Exception], ...] = (Exception,)

    def wait(self, failures: int, chance: float) -> float:
        """Seconds before the delayed try that follows the `failures`-th failure; `chance` in [0, 1)."""
        full = min(self.most, self.first * self.factor ** (failures - 1))
        return full * (1.0 - self.jitter * chance)


class Parameter(msgspec.Struct, frozen=True):
    """One parameter after the message."""

    name: str
    annotation: Any


class Handler(msgspec.Struct, eq=False):
    """A registration, as it was written; nothing in it is checked before the start."""

    message: type[Message]
    function: Callable[..., Any]
    id: str
    aliases: tuple[str, ...]
    batch: Batch | None
    retry: Retry | None
    middleware: tuple[Any, ...]
    concurrent: bool
    when_dead: str
    where: str
    hints: dict[str, Any]
    hints_error: str = ""
    live: bool = False
    """It hears what is told now, and nothing that was sent durably."""
    group: str | None = None
    """Of live ones: one of those with the same group hears each message."""
    remote: bool = False
    """Other processes may send its message, and have its reply."""

    @property
    def kind(self) -> str:
        """The kind of its message: command, query, stream or event."""
        return self.message.__catga__.kind

    def parameters(self) -> list[Parameter]:
        """The parameters after the message, with their resolved annotations."""
        names = list(inspect.signature(self.function).parameters)[1:]
        return [Parameter(name, self.hints.get(name, inspect.Parameter.empty)) for name in names]


def describe_place(function: Callable[..., Any]) -> str:
    """module.function (file:line) for error texts."""
    code = getattr(function, "__code__", None)
    place = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', function)}"
    return f"{place} ({code.co_filename}:{code.co_firstlineno})" if code else place


def resolve_hints(function: Callable[..., Any], depth: int) -> tuple[dict[str, Any], str]:
    """Annotations with the caller's locals in view, so that handlers inside functions work under deferred annotations."""
    frame = sys._getframe(depth)
    try:
        return typing.get_type_hints(function, localns=dict(frame.f_locals), include_extras=True), ""
    except (NameError, TypeError, AttributeError) as error:
        return {}, str(error)


def check_handler(handler: Handler) -> list[HandlerDefinitionError]:
    """Every mistake in one handler's form."""
    function, where, name = handler.function, handler.where, handler.message.__name__
    is_stream = handler.kind == "stream"
    if handler.hints_error:
        why = f"its annotations cannot be resolved: {handler.hints_error}"
        return [
            HandlerDefinitionError(
                f"the handler of {name} has unknown annotations",
                where=where,
                why=why,
                fix="import those names where the handler is defined",
            )
        ]
    if is_stream and not inspect.isasyncgenfunction(function):
        return [
            HandlerDefinitionError(
                f"the handler of stream query {name} must yield", where=where, fix="make it an `async def` with `yield`"
            )
        ]
    if not is_stream and not inspect.iscoroutinefunction(function):
        fix = f"write `async def {getattr(function, '__name__', 'handler')}(…)`; run blocking work with asyncio.to_thread inside it"
        return [HandlerDefinitionError(f"the handler of {name} is not an async function", where=where, fix=fix)]
    mistakes: list[HandlerDefinitionError] = []
    names = list(inspect.signature(function).parameters)
    if not names:
        return [
            HandlerDefinitionError(
                f"the handler of {name} takes no message",
                where=where,
                fix=f"give it a first parameter: `message: {name}`",
            )
        ]
    expected: Any = list[handler.message] if handler.batch else handler.message  # type: ignore[name-defined]
    found = handler.hints.get(names[0], expected)
    if found != expected and found is not Any:
        shown = f"list[{name}]" if handler.batch else name
        mistakes.append(
            HandlerDefinitionError(
                f"the handler of {name} takes {_show(found)} as its message",
                where=where,
                fix=f"annotate {names[0]!r} with {shown}",
            )
        )
    for parameter in handler.parameters():
        if parameter.annotation is inspect.Parameter.empty:
            fix = "annotate it with Context, Transaction, or a type that @app.provide gives"
            mistakes.append(
                HandlerDefinitionError(
                    f"parameter {parameter.name!r} of the handler of {name} has no annotation", where=where, fix=fix
                )
            )
    mistakes += _check_reply(handler)
    return mistakes


def _check_reply(handler: Handler) -> list[HandlerDefinitionError]:
    if "return" not in handler.hints:
        return []
    returned = handler.hints["return"]
    name = handler.message.__name__
    if handler.kind == "stream":
        wanted, found = reply_type(handler.message), (get_args(returned) or (Any,))[0]
        if get_origin(returned) not in (
            AsyncIterator,
            typing.get_origin(typing.AsyncIterator[int]),
            typing.get_origin(typing.AsyncGenerator[int, None]),
        ):
            found = returned
    else:
        wanted = None if handler.kind == "event" or handler.batch else reply_type(handler.message)
        found = returned
    none = type(None)
    if found is Any or wanted is Any or (found is none and wanted is None) or found == wanted:
        return []
    return [
        HandlerDefinitionError(
            f"the handler of {name} returns {_show(found)}, and {name} declares {_show(wanted)}",
            where=handler.where,
            fix=f"annotate the return with {_show(wanted)}, or change what {name} declares",
        )
    ]


def _show(annotation: Any) -> str:
    return (
        annotation.__name__
        if isinstance(annotation, type) and not get_args(annotation)
        else str(annotation).replace("typing.", "")
    )
