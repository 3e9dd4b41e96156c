"""The connection, and questions that are answered by many messages."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from catga.backends.nats.failures import transport_error
from catga.backends.nats.options import NatsOptions
from catga.errors import AppClosed, TransportUnavailable
from catga.ports.server import Server

log: logging.Logger = logging.getLogger("catga.nats")


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One message of a stream."""

    number: int
    payload: bytes


class Reading(msgspec.Struct, frozen=True):
    """From a sequence number on, so many entries of a subject, and so many bytes."""

    subject: str
    first: int
    most: int
    most_bytes: int


class Answer:
    """What came so far."""

    def __init__(self, questions: int) -> None:
        self.left = questions
        self.entries: list[list[Entry]] = [[] for _ in range(questions)]
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, error: Exception) -> None:
        """The rest will not come."""
        if not self.done.done():
            self.done.set_exception(error)


class Link:
    """Opened and closed with the transport; makes the connection again where it breaks."""

    def __init__(self, options: NatsOptions, troubled: Callable[[Exception], None] | None = None) -> None:
        """`troubled` hears of what the driver only reports."""
        self.options = options
        self._heard_of = troubled
        self.where: str = options.server.rpartition("@")[2]
        self._client: Client | None = None
        self._numbers = itertools.count()
        self._asked: dict[str, tuple[Answer, int]] = {}
        self._sending: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Connects; raises where nobody answers."""
        if self._client is not None:
            return
        client = Client()
        connecting: asyncio.Task[None] = asyncio.ensure_future(
            client.connect(  # pyright: ignore[reportUnknownMemberType]
                self.options.server,
                name="catga",
                connect_timeout=max(1, round(self.options.timeout)),
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.1,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
                allow_reconnect=True,
                error_cb=self._troubled,
                disconnected_cb=self._lost,
            )
        )
        try:
            # Left alone, the driver tries for ever and says nothing.
            async with asyncio.timeout(self.options.timeout):
                await asyncio.shield(connecting)
        except BaseException as error:
            await _ended(connecting)
            await client.close()
            if isinstance(error, Exception):
                raise transport_error(client.last_error or error, self.where) from error
            raise
        self._client = client
        self._inbox = client.new_inbox()
        await client.subscribe(  # pyright: ignore[reportUnknownMemberType]
            f"{self._inbox}.*", cb=self._heard, pending_msgs_limit=0, pending_bytes_limit=0
        )

    async def close(self) -> None:
        """Sends what is left to send."""
        client, self._client = self._client, None
        if client is not None and not client.is_closed:
            ends: list[Callable[[], Awaitable[None]]] = [lambda: client.flush(1), client.close]
            for end in ends:
                try:
                    await end()
                except Exception as error:
                    log.debug("closing: %s", error)

    @property
    def client(self) -> Client:
        """The driver's."""
        if self._client is None:
            raise AppClosed("the transport is not open", where=self.where, fix="await transport.open() first")
        return self._client

    async def server(self) -> Server:
        """What runs there; raises where it does not answer."""
        try:
            await self.client.flush(max(1, round(self.options.timeout)))
        except Exception as error:
            raise transport_error(error, self.where) from error
        version = self.client.connected_server_version
        return Server(f"NATS {version.major}.{version.minor}.{version.patch}")

    @property
    def jetstream(self) -> JetStreamContext:
        """The driver's."""
        return self.client.jetstream(timeout=self.options.timeout)  # pyright: ignore[reportUnknownMemberType]

    async def publish(self, stream: str, subject: str, payload: bytes, id: str) -> None:
        """Returns when the server has written it; raises `ConnectionError` where the connection is lost before it said so:
        its word will not come on another one."""
        sending = asyncio.ensure_future(
            self.jetstream.publish(subject, payload, stream=stream, headers={"Nats-Msg-Id": id})
        )
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        try:
            await sending
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise ConnectionError("the connection was lost") from None

    async def read(self, stream: str, readings: Sequence[Reading]) -> list[list[Entry]]:
        """Entries of a stream for each, in their order; all questions are asked at once."""
        client = self.client
        answer = Answer(len(readings))
        names: list[str] = []
        try:
            for place, reading in enumerate(readings):
                name = f"{self._inbox}.{next(self._numbers)}"
                names.append(name)
                self._asked[name] = (answer, place)
                question = {
                    "seq": max(1, reading.first),
                    "next_by_subj": reading.subject,
                    "batch": reading.most,
                    "max_bytes": reading.most_bytes,
                }
                await client.publish(f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(question), reply=name)
            async with asyncio.timeout(self.options.timeout):
                await answer.done
        except TimeoutError as error:
            raise TransportUnavailable(
                "NATS does not answer",
                where=self.where,
                why=f"nothing came for {self.options.timeout} s",
                fix="check that it runs and can be reached; the work goes on when it answers again",
            ) from error
        except Exception as error:
            raise transport_error(error, self.where) from error
        finally:
            for name in names:
                self._asked.pop(name, None)
        return answer.entries

    async def _heard(self, message: Msg) -> None:
        found = self._asked.get(message.subject)
        if found is None:
            return
        answer, place = found
        headers: dict[str, Any] = message.headers or {}
        status = headers.get("Status")
        if status is None:
            answer.entries[place].append(Entry(int(headers["Nats-Sequence"]), message.data))
            return
        del self._asked[message.subject]
        answer.left -= 1
        if status not in ("204", "404"):
            answer.fail(RuntimeError(f"status {status}: {headers.get('Description', '')}"))
        elif answer.left == 0 and not answer.done.done():
            answer.done.set_result(None)

    async def _lost(self) -> None:
        for answer, _ in list(self._asked.values()):
            answer.fail(ConnectionError("the connection was lost"))
        for sending in list(self._sending):
            sending.cancel()
        if self._client is not None:
            log.warning("the connection to %s was lost; it is made again", self.where)

    async def _troubled(self, error: Exception) -> None:
        log.debug("%s: %s", self.where, error)
        if self._heard_of is not None:
            self._heard_of(error)


async def _ended(task: "asyncio.Task[None]") -> None:
    """Cancels until it ends: Python 3.11's `wait_for` swallows a cancellation that comes just when what it waits for fails,
    and the driver tries again."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
