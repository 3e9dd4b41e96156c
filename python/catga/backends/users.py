"""Several users of one thing that is opened and closed."""

import asyncio
from collections.abc import Awaitable, Callable


class Users:
    """Counts them: it opens for the first and closes after the last, never both at once."""

    def __init__(self) -> None:
        self._count = 0
        self._turn = asyncio.Lock()

    async def join(self, opening: Callable[[], Awaitable[None]]) -> None:
        """One more; what could not be opened has none."""
        if not self._turn.locked():
            # A lock belongs to the loop in which it was first waited for, and what is shared may outlive one.
            self._turn = asyncio.Lock()
        async with self._turn:
            if self._count == 0:
                await opening()
            self._count += 1

    async def leave(self, closing: Callable[[], Awaitable[None]]) -> None:
        """One less; closing what was never opened, or twice, is left to `closing`."""
        async with self._turn:
            self._count = max(0, self._count - 1)
            if self._count == 0:
                await closing()
