"""Validation: what a message holds is what its class declares."""

from collections.abc import Coroutine
from typing import Any

from catga.context import Context
from catga.errors import ValidationFailed
from catga.mediator.builtin.checks import Problem, quick_check, struct_problem
from catga.mediator.handlers import Handler
from catga.mediator.pipeline import Call


class Validation:
    """Raises `ValidationFailed` where a field does not have its declared type or keep its declared limits.

    Messages that arrive as bytes are checked when they are decoded; those made in this process are not checked by their
    class, since msgspec's structs take what they are given. The test is compiled once for each handler. It is as strict
    as msgspec: no number for a text, no bool for a number, no dict for a struct; an int passes for a float.

    >>> import asyncio
    >>> from catga import Catga, Command
    >>> from catga.errors import ValidationFailed
    >>> from catga.middleware import Validation
    >>> class Add(Command[int]):
    ...     a: int
    >>> app = Catga("sums", middleware=(Validation(),))
    >>> @app.handler(Add)
    ... async def add(cmd: Add) -> int:
    ...     return cmd.a + 1
    >>> async def main() -> None:
    ...     async with app:
    ...         try:
    ...             await app.send(Add("1"))
    ...         except ValidationFailed as error:
    ...             print(error.what)
    >>> asyncio.run(main())
    Add.a holds a str
    """

    def compose(self, inner: Call, handler: Handler) -> Call:
        """The layer for one handler; a batch handler's list is checked message by message."""
        check = quick_check(handler.message)

        def call(message: Any, ctx: Context) -> Coroutine[Any, Any, Any]:
            if check(message) or (problem := struct_problem(message)) is None:
                return inner(message, ctx)
            return _fail(handler, problem)

        def call_batch(messages: list[Any], ctx: Context) -> Coroutine[Any, Any, Any]:
            for message in messages:
                if not check(message) and (problem := struct_problem(message)) is not None:
                    return _fail(handler, problem)
            return inner(messages, ctx)

        return call if handler.batch is None else call_batch


async def _fail(handler: Handler, problem: Problem) -> Any:
    name = handler.message.__name__
    raise ValidationFailed(
        f"{name}.{problem.path} holds a {problem.found}",
        where=handler.where,
        why=f"{name} declares it as {problem.expected}",
        fix=f"give {problem.path} a value of that type, or declare another",
    )
