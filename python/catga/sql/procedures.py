"""Procedures: generators that ask one statement after the other and are given its rows. A driver runs them, waiting or
not: the logic stands once, for databases that are called and for those that are awaited."""

from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

T = TypeVar("T")


class Ask(msgspec.Struct, frozen=True, gc=False):
    """One statement, with `?` where its arguments go."""

    sql: str
    args: Sequence[Any] = ()


Rows: TypeAlias = Sequence[Sequence[Any]]
Procedure: TypeAlias = Generator[Ask, Rows, T]


def run(procedure: Procedure[T], ask: Callable[[Ask], Rows]) -> T:
    """With a driver that is called."""
    try:
        question = next(procedure)
        while True:
            question = procedure.send(ask(question))
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return]


async def arun(procedure: Procedure[T], ask: Callable[[Ask], Awaitable[Rows]]) -> T:
    """With a driver that is awaited."""
    try:
        question = next(procedure)
        while True:
            question = procedure.send(await ask(question))
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return]
