"""Pipelines: a handler's middleware, composed once into one function of (message, context)."""

import functools
import inspect
import types
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from catga.context import Context
from catga.errors import HandlerDefinitionError
from catga.mediator.handlers import Handler, describe_place

Call: TypeAlias = Callable[[Any, Context], Coroutine[Any, Any, Any]]
"""A composed pipeline, or the rest of one: what a middleware knows as `next`."""

Next: TypeAlias = Callable[[Any, Context], Awaitable[Any]]


@runtime_checkable
class Composed(Protocol):
    """A middleware that builds its own layer; the built-in ones do, to cost less."""

    def compose(self, inner: Call, handler: Handler) -> Call:
        """The layer around `inner` for this handler; called once, at start."""
        ...


def compose(call: Call, middleware: Sequence[Any], handler: Handler) -> Call:
    """`middleware` around `call`, the first outermost."""
    for layer in reversed(middleware):
        call = layer.compose(call, handler) if isinstance(layer, Composed) else _bind(layer, call)
    return call


def check_middleware(layer: Any) -> HandlerDefinitionError | None:
    """What is wrong with a middleware's form, if anything."""
    if isinstance(layer, Composed):
        return None
    if not inspect.iscoroutinefunction(layer) and not inspect.iscoroutinefunction(getattr(layer, "__call__", None)):  # noqa: B004 - whether calling it is async, not whether it can be called
        return HandlerDefinitionError(
            "a middleware is not an async function",
            where=describe_place(layer),
            fix="write `async def name(message, ctx, next): return await next(message, ctx)`",
        )
    if len(inspect.signature(layer).parameters) != 3:
        return HandlerDefinitionError(
            "a middleware does not take (message, ctx, next)",
            where=describe_place(layer),
            fix="write `async def name(message, ctx, next): return await next(message, ctx)`",
        )
    return None


def _bind(layer: Callable[..., Coroutine[Any, Any, Any]], inner: Call) -> Call:
    if not isinstance(layer, types.FunctionType):
        return lambda message, ctx: layer(message, ctx, inner)
    # A copy whose third parameter defaults to the next layer: calling it costs no wrapper, no partial, no closure.
    bound = types.FunctionType(layer.__code__, layer.__globals__, layer.__name__, (inner,), layer.__closure__)
    functools.update_wrapper(bound, layer)
    bound.__defaults__ = (inner,)
    return bound
