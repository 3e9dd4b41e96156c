"""An event loop that knows when nothing can happen any more by itself: what virtual time waits for."""

import asyncio
import selectors
import socket
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, TypeVarTuple, cast

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PATIENCE = 0.25
"""Real seconds a thread or a server may take; one that takes longer waits for the test itself."""
QUIET = 0.003
"""Real seconds without another word of a server after which its answer is taken for whole."""


class IdleLoop(asyncio.SelectorEventLoop):
    """As asyncio's own, and `await loop.idle()` returns when no callback is ready, no thread of it is at work, and no
    server owes an answer: what was written to a socket is taken for a question."""

    def __init__(self) -> None:
        self._selecting = _Selector(self._resting)
        self._threads = 0
        self._asked: set[int] = set()
        self._sockets = 0
        self._waiting: list[asyncio.Future[None]] = []
        super().__init__(self._selecting)

    async def idle(self) -> None:
        """Until nothing is left to do but what a clock, a socket or a stuck thread would begin."""
        waiter: asyncio.Future[None] = self.create_future()
        self._waiting.append(waiter)
        await waiter

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Counts what runs in threads."""
        future = super().run_in_executor(executor, func, *args)
        self._threads += 1
        future.add_done_callback(self._returned)
        return future

    def _make_socket_transport(self, sock: socket.socket, *args: Any, **kwargs: Any) -> Any:
        # The one place at which asyncio makes them, whoever asks for them.
        transport: Any = cast("Any", super())._make_socket_transport(sock, *args, **kwargs)
        number, write, lost = sock.fileno(), transport.write, transport._call_connection_lost
        self._sockets += 1

        def asking(data: bytes) -> None:
            self._asked.add(number)
            write(data)

        def closed(error: Exception | None) -> None:
            self._sockets -= 1
            self._asked.discard(number)
            lost(error)

        transport.write, transport._call_connection_lost = asking, closed
        return transport

    def _returned(self, _: object) -> None:
        self._threads -= 1

    def _resting(self, timeout: float | None, select: Callable[[float | None], list[Any]]) -> list[Any]:
        """Called where the loop would sleep: the one moment at which it is known to be idle."""
        if not self._waiting:
            return self._answered(select(timeout))
        if self._threads or self._asked:
            longest = PATIENCE if timeout is None else min(PATIENCE, timeout)
            if found := self._answered(select(longest)):
                return found
        if found := self._answered(select(QUIET if self._sockets else 0)):
            return found
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
        return []

    def _answered(self, found: list[Any]) -> list[Any]:
        if self._asked:
            self._asked.difference_update(key.fd for key, _ in found)
        return found


class _Selector(selectors.DefaultSelector):
    def __init__(self, resting: Callable[[float | None, Callable[[float | None], list[Any]]], list[Any]]) -> None:
        super().__init__()
        self._resting = resting

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return super().select(timeout)
        return self._resting(timeout, super().select)


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on an `IdleLoop`."""
    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        return runner.run(main)
