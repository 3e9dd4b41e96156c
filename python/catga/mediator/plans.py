"""Plans: per message type, the one function that `send` calls; composed when the app starts."""

import linecache
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec

from catga.context import Context, leave
from catga.envelope import Envelope
from catga.mediator.handlers import Handler
from catga.mediator.pipeline import Call, compose
from catga.mediator.published import Taker, hand_over_again
from catga.messages import reply_type
from catga.result import Err


class Argument(msgspec.Struct, frozen=True):
    """How one parameter after the message is filled: from the context, by a value that lives as long as the message's
    handling, or by a constant of the app."""

    expression: str = ""
    enter: Callable[[], AbstractAsyncContextManager[Any]] | None = None
    constant: Any = None


CONTEXT = Argument(expression="ctx")
TRANSACTION = Argument(expression="ctx._tx")


def call_of(handler: Handler, arguments: Sequence[Argument], middleware: Sequence[Any]) -> Call:
    """The handler and its middleware as one function of (message, ctx)."""
    names: dict[str, Any] = {"handler": handler.function}
    entering = _entering(arguments)
    given = _given(arguments, names)
    if entering:
        source = f"async def plan(message, ctx):\n{entering}    return await handler(message{given})\n"
    elif given == ", ctx":
        return compose(handler.function, middleware, handler)
    else:
        source = f"def plan(message, ctx):\n    return handler(message{given})\n"
    return compose(_compile(handler.id, source, names), middleware, handler)


def pure_plan(
    app: Any,
    handler: Handler,
    arguments: Sequence[Argument],
    middleware: Sequence[Any],
    publish: Callable[[Context], Any],
    after: dict[type, Taker] | None,
) -> Callable[[Any], Any]:
    """The plan of a handler that writes to no store. Where nothing else is asked for it is the handler itself.

    `after` maps the type of what the handler published to who takes it; where it is None (the app has a store)
    `publish` commits the lot.
    """
    names: dict[str, Any] = {"app": app, "Context": Context, "Err": Err, "publish": publish, "after": after}
    names["hand_over_again"] = hand_over_again
    names["handler"] = handler.function
    scoped = any(argument.enter is not None for argument in arguments)
    if not middleware and not scoped:
        given = _given(arguments, names)
        if not given:
            return handler.function
        if not any(argument.expression for argument in arguments):
            return _compile(handler.id, f"def plan(message):\n    return handler(message{given})\n", names)
        call = f"handler(message{given})"
    else:
        names["call"] = call_of(handler, arguments, middleware)
        call = "call(message, ctx)"
    # A reply that cannot be `Err` is not asked whether it is.
    unless_refused = " and type(reply) is not Err" if _may_be_refused(reply_type(handler.message)) else ""
    body = (
        _BODY.format(call=call, unless_refused=unless_refused)
        + (_COMMIT if after is None else _AFTER)
        + "return reply\n"
    )
    if scoped:
        inner = body.replace("\n", "\n    ").rstrip(" ")
        return _compile(
            handler.id,
            f"async def plan(message):\n    ctx = Context(app)\n    try:\n        {inner}    finally:\n        if ctx._stack is not None:\n            await ctx._stack.aclose()\n",
            names,
        )
    return _compile(handler.id, f"async def plan(message):\n    ctx = Context(app)\n    {body}", names)


def stream_plan(
    app: Any, handler: Handler, arguments: Sequence[Argument], middleware: Sequence[Any]
) -> Callable[..., AsyncIterator[Any]]:
    """The plan of a stream query. Middleware stands around its beginning: `next` gives the values, not yet read."""
    names: dict[str, Any] = {"handler": handler.function}
    source = (
        f"async def plan(message, ctx):\n{_entering(arguments)}    return handler(message{_given(arguments, names)})\n"
    )
    call = compose(_compile(handler.id, source, names), middleware, handler)

    async def plan(message: Any, envelope: Envelope | None = None) -> AsyncIterator[Any]:
        ctx = Context(app, None, None, envelope)
        try:
            async with aclosing(await call(message, ctx)) as values:
                async for value in values:
                    yield value
        finally:
            await leave(ctx)

    return plan


_BODY = """\
reply = await {call}
    out = ctx._out
    if out is not None{unless_refused}:
"""
_COMMIT = """\
        await publish(ctx)
    """
# What was published leaves after the handler has succeeded. It is handed over here and not by a function: one coroutine
# more would cost a fifth of the whole send. Several messages are a list, which has a taker of its own.
_AFTER = """\
        try:
            await after[type(out)](out)
        except Exception as error:
            failed = error
        else:
            return reply
        await hand_over_again(after, out, failed)
    """


def _may_be_refused(reply: Any) -> bool:
    """Whether a declared reply may be `Err`."""
    members = get_args(reply) if get_origin(reply) in (Union, UnionType) else (reply,)
    return any((get_origin(member) or member) in (Err, Any) or isinstance(member, TypeVar) for member in members)


def _entering(arguments: Sequence[Argument]) -> str:
    return "".join(f"    a{i} = await ctx._enter(a{i}_enter)\n" for i, a in enumerate(arguments) if a.enter is not None)


def _given(arguments: Sequence[Argument], names: dict[str, Any]) -> str:
    for index, argument in enumerate(arguments):
        if argument.enter is not None:
            names[f"a{index}_enter"] = argument.enter
        elif not argument.expression:
            names[f"a{index}"] = argument.constant
    return "".join(f", {argument.expression or f'a{index}'}" for index, argument in enumerate(arguments))


def _compile(name: str, source: str, names: dict[str, Any]) -> Callable[..., Any]:
    # Registered with linecache, so that a traceback shows the generated lines.
    filename = f"<catga plan of {name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    exec(compile(source, filename, "exec"), names)  # noqa: S102 - our own templates; nothing of the user's is in the text
    return names["plan"]  # type: ignore[no-any-return]
