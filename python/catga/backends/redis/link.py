"""The connection: what is asked while another question is under way goes out with it, answers come back in order."""

import asyncio
import logging
import math
from collections import deque
from typing import Any, TypeAlias

from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, ResponseError

from catga.backends.redis.options import RedisOptions
from catga.errors import AppClosed

log: logging.Logger = logging.getLogger("catga.redis")

Answer: TypeAlias = "asyncio.Future[Any]"
Word: TypeAlias = bytes | str | int | float

REFUSED = (ResponseError, AuthenticationError, BusyLoadingError)
"""Answers that say no; for the driver some of them are the end of the connection."""


class Lost(Exception):
    """The line ended before the answer came; with `sent` the question may have been heard."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


class Line:
    """One connection, from its making to its end. A reader and a writer of its own: cancelling who asks harms nobody else."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._unsent: list[tuple[bytes, Answer]] = []
        self._sent: deque[Answer] = deque()
        self._wake = asyncio.Event()
        self.ended: str = ""
        """Why, once it has."""
        self._tasks = [
            asyncio.create_task(self._until_lost(self._write()), name="catga-redis-writer"),
            asyncio.create_task(self._until_lost(self._read()), name="catga-redis-reader"),
        ]

    def ask(self, words: tuple[Word, ...]) -> Answer:
        """The answer to come."""
        answer: Answer = asyncio.get_running_loop().create_future()
        if self.ended:
            answer.set_exception(Lost(self.ended, sent=False))
        else:
            self._unsent.append((b"".join(self._connection.pack_command(*words)), answer))
            self._wake.set()
        return answer

    def end(self, why: str) -> None:
        """Nothing more will be answered."""
        if self.ended:
            return
        self.ended = why or "the connection was closed"
        for task in self._tasks:
            task.cancel()
        for sent, answers in ((True, list(self._sent)), (False, [answer for _, answer in self._unsent])):
            for answer in answers:
                if not answer.done():
                    answer.set_exception(Lost(self.ended, sent=sent))
        self._sent.clear()
        self._unsent.clear()

    async def closed(self) -> None:
        """After `end`: the socket too."""
        await asyncio.wait(self._tasks)
        await self._connection.disconnect(nowait=True)

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._unsent = self._unsent, []
            self._sent.extend(answer for _, answer in batch)
            await self._connection.send_packed_command([packed for packed, _ in batch], check_health=False)

    async def _read(self) -> None:
        read = self._connection.read_response
        while True:
            try:
                found = await read(disable_decoding=True, timeout=math.inf, disconnect_on_error=False)
            except REFUSED as error:
                found = error
            if not self._sent:
                raise ConnectionError(f"an answer that nobody has asked for: {str(found)[:100]}")
            answer = self._sent.popleft()
            if answer.done():
                continue
            if isinstance(found, REFUSED):
                answer.set_exception(found)
            else:
                answer.set_result(found)

    async def _until_lost(self, work: Any) -> None:
        try:
            await work
        except Exception as error:
            self.end(str(error) or type(error).__name__)


class Link:
    """Opened and closed with the store; makes its line again when it was lost."""

    def __init__(self, options: RedisOptions) -> None:
        self.options = options
        self._line: Line | None = None
        self._making: asyncio.Task[Line] | None = None
        self._open = False

    async def open(self) -> None:
        """Connects; raises where nobody answers."""
        self._open = True
        try:
            await self._connected()
        except BaseException:
            self._open = False
            raise

    async def close(self) -> None:
        """Ends the line; whoever still asks learns of it."""
        self._open = False
        making, self._making = self._making, None
        if making is not None:
            making.cancel()
            await asyncio.wait([making])
        line, self._line = self._line, None
        if line is not None:
            line.end("the store was closed")
            await line.closed()

    def check(self) -> None:
        """That it is open."""
        if not self._open:
            raise AppClosed("the store is not open", where=self.options.where, fix="await store.open() first")

    async def ask(self, *words: Word) -> Any:
        """The answer; `Lost`, or what the server said was wrong."""
        self.check()
        line = self._line
        if line is None or line.ended:
            line = await self._connected()
        answer = line.ask(words)
        try:
            async with asyncio.timeout(self.options.timeout):
                return await answer
        except TimeoutError:
            # Answers come in order: who does not answer this one answers none of those behind it.
            why = f"nothing came for {self.options.timeout} s"
            line.end(why)
            raise Lost(why, sent=True) from None

    async def _connected(self) -> Line:
        if self._making is None:
            self._making = asyncio.create_task(self._make(), name="catga-redis-connect")
            self._making.add_done_callback(self._made)
        return await asyncio.shield(self._making)

    def _made(self, task: "asyncio.Task[Line]") -> None:
        if self._making is task:
            self._making = None
        if not task.cancelled():
            task.exception()  # heard, also where nobody waits for it any more

    async def _make(self) -> Line:
        if self._line is not None:
            log.warning("the connection to %s was lost: %s; it is made again", self.options.where, self._line.ended)
            await self._line.closed()
            self._line = None
        connection = connection_to(self.options)
        try:
            async with asyncio.timeout(self.options.timeout):
                await connection.connect()
        except BaseException as error:
            await connection.disconnect(nowait=True)
            if isinstance(error, REFUSED) or not isinstance(error, Exception):
                raise
            raise Lost(str(error) or "it does not answer", sent=False) from error
        self._line = Line(connection)
        return self._line


def connection_to(options: RedisOptions) -> Any:
    """The driver's, not connected yet. It tries nothing again by itself: a commit must not be made twice."""
    arguments: dict[str, Any] = {**parse_url(options.server)}
    kind = arguments.pop("connection_class", Connection)
    assert kind in (Connection, SSLConnection)
    return kind(
        **arguments,
        protocol=2,
        client_name="catga",
        socket_timeout=None,
        socket_connect_timeout=None,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )
