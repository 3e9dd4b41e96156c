"""Publishing inside one process: every handler hears it, and every failure is reported."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any


def fan_out(
    name: str, following: Sequence[Callable[[Any], Awaitable[Any]]], beside: Sequence[Callable[[Any], Awaitable[Any]]]
) -> Callable[[Any], Awaitable[Any]]:
    """One function for an event's handlers: `following` run one after the other, `beside` at the same time."""
    if not beside and len(following) == 1:
        return following[0]

    async def publish(event: Any) -> None:
        tasks = [asyncio.ensure_future(handler(event)) for handler in beside]
        failed: list[Exception] = []
        try:
            for handler in following:
                try:
                    await handler(event)
                except Exception as error:
                    failed.append(error)
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception):
                    failed.append(outcome)
                elif isinstance(outcome, BaseException):
                    raise outcome
        except BaseException:
            for task in tasks:
                task.cancel()
            raise
        if failed:
            raise ExceptionGroup(f"{len(failed)} of {len(following) + len(beside)} handlers of {name} failed", failed)

    return publish
