"""The queue inside one process: bounded, ranked by priority, gone with the process."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec

from catga import _core
from catga.clock import Bell, Clock
from catga.errors import QueueFull
from catga.mediator.carried import Carried, carried_key
from catga.messages import key_getter

log: logging.Logger = logging.getLogger("catga.queue")


class Queue(msgspec.Struct, frozen=True):
    """How an app without a store queues commands: `capacity` messages, what happens when it is full, how many run at
    once; `strict` lets urgent work starve the rest, otherwise one that has waited `aging` seconds gains a level."""

    capacity: int = 10_000
    policy: Literal["block", "reject", "drop_oldest", "drop_newest"] = "block"
    concurrency: int = 16
    strict: bool = False
    aging: float = 1.0


class LocalQueue:
    """Commands and events that are handled later, in this process."""

    def __init__(self, options: Queue, clock: Clock, run: Callable[[Any], Awaitable[Any]]) -> None:
        self._options = options
        self._clock = clock
        self._run = run
        self._lanes: _core.Lanes[Any] = _core.Lanes(
            options.capacity, policy=options.policy, strict=options.strict, aging_ms=max(1, int(options.aging * 1000))
        )
        self._keys: dict[type, Callable[[Any], bytes | None]] = {Carried: carried_key}
        self._workers: set[asyncio.Task[None]] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle = Bell(clock)
        self.dropped: int = 0

    async def put(self, message: Any) -> None:
        """A message, or one with its envelope. Waits for room under `block`; `QueueFull` under `reject`. Dropped messages are counted."""
        while not self._offer(message):
            if self._options.policy != "block":
                raise QueueFull(
                    f"the queue holds {self._options.capacity} messages",
                    why="policy is reject",
                    fix="send less, raise the capacity, or choose policy='block'",
                )
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                # The room this waiter was called for must reach the next one.
                if waiter.done() and not waiter.cancelled():
                    self._invite()
                raise

    async def stop(self, deadline: float) -> int:
        """Handles what is queued until `deadline` (monotonic seconds); how many messages were left."""
        while self._workers and (left := deadline - self._clock.monotonic()) > 0:
            await self._idle.wait(min(left, 0.05))
        rest = self._lanes.clear()
        for worker in self._workers:
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers)
        return len(rest)

    def busy(self) -> bool:
        """Whether something is queued or being handled."""
        return bool(self._workers) or len(self._lanes) > 0

    def statistics(self) -> dict[str, Any]:
        """The lanes' own counts."""
        return dict(self._lanes.statistics())

    def _offer(self, message: Any) -> bool:
        key = self._key(message)
        accepted, dropped = self._lanes.put(message, key, message.__catga__.priority, self._clock.wall_ms())
        if dropped is not None:
            self.dropped += 1
            accepted = accepted or dropped is message
        if accepted and len(self._workers) < self._options.concurrency and self._lanes.ready():
            worker = asyncio.create_task(self._work(), name="catga-local")
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return accepted

    def _key(self, message: Any) -> bytes | None:
        getter = self._keys.get(message.__class__)
        if getter is None:
            getter = self._keys[message.__class__] = key_getter(message.__class__)
        return getter(message)

    def _invite(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _work(self) -> None:
        while ready := self._lanes.drain(1, self._clock.wall_ms()):
            (message,) = ready
            self._invite()
            try:
                await self._run(message)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                log.exception("the handler of %s was cancelled by itself", message.__catga__.name)
            except Exception:
                log.exception("the handler of %s failed", message.__catga__.name)
            finally:
                if (key := self._key(message)) is not None:
                    self._lanes.done(key)
        if len(self._workers) == 1:
            self._idle.ring()
