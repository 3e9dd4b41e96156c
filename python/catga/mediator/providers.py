"""Providers: what handlers ask for by type, found once at start."""

import contextlib
import inspect
from collections.abc import Callable
from typing import Any, get_args

from catga.errors import ConfigurationError, MissingProvider
from catga.mediator.handlers import Handler, describe_place
from catga.mediator.plans import Argument


class Providers:
    """The values of one running app: per-app ones are made here, per-message ones are entered by the plans."""

    def __init__(
        self, registered: list[tuple[Callable[..., Any], dict[str, Any], str]], overrides: dict[Any, Any]
    ) -> None:
        self._registered = registered
        self._overrides = overrides
        self._arguments: dict[Any, Argument] = {}
        self._mistakes: list[ConfigurationError] = []

    async def resolve(self) -> list[ConfigurationError]:
        """Calls every per-app provider, each after those it needs; what is wrong is given back, not raised."""
        waiting: dict[Any, tuple[Callable[..., Any], list[Any], bool]] = {}
        for function, hints, problem in self._registered:
            gives = hints.get("return")
            if problem or gives is None:
                fix = "annotate its return with the type it gives"
                self._mistakes.append(
                    MissingProvider(
                        "a provider does not say what it gives", where=describe_place(function), why=problem, fix=fix
                    )
                )
                continue
            per_message = inspect.isasyncgenfunction(function)
            gives = (get_args(gives) or (gives,))[0] if per_message else gives
            waiting[gives] = (
                function,
                [hints.get(name) for name in inspect.signature(function).parameters],
                per_message,
            )
        for gives, value in self._overrides.items():
            waiting.pop(gives, None)
            self._arguments[gives] = Argument(constant=value)
        while ready := [
            gives for gives, (_, needs, _) in waiting.items() if all(need in self._arguments for need in needs)
        ]:
            for gives in ready:
                await self._make(gives, *waiting.pop(gives))
        for gives, (function, needs, _) in waiting.items():
            lacking = ", ".join(str(getattr(need, "__name__", need)) for need in needs if need not in self._arguments)
            self._mistakes.append(
                MissingProvider(
                    f"the provider of {gives.__name__} needs {lacking}, which nothing provides",
                    where=describe_place(function),
                    fix="provide it, and break any circle",
                )
            )
        return self._mistakes

    async def _make(self, gives: Any, function: Callable[..., Any], needs: list[Any], per_message: bool) -> None:
        arguments = [self._arguments[need] for need in needs]
        if any(argument.enter for argument in arguments):
            what = f"the provider of {gives.__name__} needs a per-message value"
            self._mistakes.append(
                MissingProvider(what, where=describe_place(function), fix="ask for it in the handler instead")
            )
            return
        values = [argument.constant for argument in arguments]
        if per_message:
            manager = contextlib.asynccontextmanager(function)
            self._arguments[gives] = Argument(enter=lambda: manager(*values))
            return
        value = function(*values)
        self._arguments[gives] = Argument(constant=await value if inspect.isawaitable(value) else value)

    def arguments_of(
        self, handler: Handler, known: dict[Any, Argument]
    ) -> tuple[list[Argument], list[ConfigurationError]]:
        """How each parameter after the message is filled, and which cannot be."""
        arguments: list[Argument] = []
        mistakes: list[ConfigurationError] = []
        for parameter in handler.parameters():
            argument = known.get(parameter.annotation) or self._arguments.get(parameter.annotation)
            if argument is not None:
                arguments.append(argument)
            elif parameter.annotation is not inspect.Parameter.empty:
                shown = getattr(parameter.annotation, "__name__", str(parameter.annotation))
                offered = ", ".join(sorted(getattr(t, "__name__", str(t)) for t in (*known, *self._arguments)))
                mistakes.append(
                    MissingProvider(
                        f"nothing provides {shown}, which parameter {parameter.name!r} of the handler of {handler.message.__name__} asks for",
                        where=handler.where,
                        why=f"known are: {offered}",
                        fix=f"write `@app.provide` over a function that returns {shown}",
                    )
                )
        return arguments, mistakes
