"""Coroutines whose first step has been taken by `first_step`: one that did not wait for anything has ended with it."""

from collections.abc import Coroutine, Generator
from typing import Any


def resume(running: Coroutine[Any, Any, Any], waits_for: Any) -> Generator[Any, Any, Any]:
    """`yield from` for the rest."""
    try:
        while True:
            try:
                sent = yield waits_for
            except GeneratorExit:
                running.close()
                raise
            except BaseException as error:
                waits_for = running.throw(error)
            else:
                waits_for = running.send(sent)
    except StopIteration as ended:
        return ended.value
