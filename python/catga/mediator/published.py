"""What a handler published in memory goes to those who take it, once the handler has succeeded."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from catga.errors import NoHandler
from catga.messages import Event

Taker: TypeAlias = Callable[[Any], Awaitable[Any]]

FAILED = "handlers of what was published failed"


def taker_of(after: dict[type, Taker], item: Any) -> Taker:
    """Nobody need listen to an event, somebody must do a command."""
    kind = item.__class__
    if kind in after:
        return after[kind]
    if isinstance(item, Event):
        return _nobody
    raise NoHandler(
        f"nothing handles {kind.__name__}", fix=f"write `@app.handler({kind.__name__})` over an async function"
    )


async def hand_over(after: dict[type, Taker], items: Sequence[Any]) -> None:
    """One after the other; one that fails keeps nothing from the others, and all failures are raised together."""
    failed: list[Exception] = []
    for item in items:
        try:
            await taker_of(after, item)(item)
        except Exception as error:
            failed.append(error)
    if failed:
        raise ExceptionGroup(FAILED, failed)


async def hand_over_again(after: dict[type, Taker], out: Any, failed: Exception) -> None:
    """What becomes of a message whose taker was not found, or has failed: its failure is raised as a group, as that of
    several is."""
    if out.__class__ not in after:
        await hand_over(after, (out,))
    elif out.__class__ is list:
        raise failed
    else:
        raise ExceptionGroup(FAILED, [failed])


async def _nobody(event: Any) -> None:
    return None
