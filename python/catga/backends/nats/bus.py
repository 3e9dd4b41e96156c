"""`NatsBus`: live messages over NATS itself, without JetStream."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import NoRespondersError, SlowConsumerError

from catga.backends.nats.failures import transport_error
from catga.backends.nats.link import Link
from catga.backends.nats.options import NatsOptions, token
from catga.backends.users import Users
from catga.ports.bus import Hear, Reply, Topic, no_answer
from catga.ports.server import Server
from catga.queues.packs import packs, unpacked

log: logging.Logger = logging.getLogger("catga.nats")

PACK = 256 * 1024
"""Bytes of events that go out together."""
AT_ONCE = 256
"""Questions of one topic that are worked on at once; the others wait."""
ANSWERING = "answering"
"""The group of all that answer: each question has one answer."""


class NatsBus:
    """A topic is a subject, a group is a queue group. Subscriptions come back with the connection."""

    def __init__(self, options: NatsOptions) -> None:
        self.max_bytes: int = 1024 * 1024 - 4096
        self._options = options
        self._link = Link(options, self._troubled)
        self._subscriptions: list[Subscription] = []
        self._answering: set[asyncio.Task[None]] = set()
        self._users = Users()
        self._missed = 0
        self._waiting: dict[str, list[bytes]] = {}
        self._size = 0
        self._some = asyncio.Event()
        self._teller: asyncio.Task[None] | None = None
        self._stuck: Exception | None = None
        """Why the last events could not leave, while the connection is away."""

    async def open(self) -> None:
        """See the port."""
        await self._users.join(self._open)

    async def close(self) -> None:
        """See the port."""
        await self._users.leave(self._close)

    async def server(self) -> Server:
        """See the port."""
        return await self._link.server()

    async def tell(self, topic: Topic, frame: bytes) -> None:
        """See the port. While the connection is made again what is told waits in memory, as far as the driver has room."""
        client = self._link.client
        if self._stuck is not None:
            if not client.is_connected:
                raise transport_error(self._stuck, self._link.where) from self._stuck
            self._stuck = None
        self._waiting.setdefault(self._subject("live", topic), []).append(frame)
        self._size += len(frame)
        self._some.set()
        if self._size > PACK:
            # Whoever tells faster than the others of this loop may run waits for them.
            await asyncio.sleep(0)

    async def listen(self, topic: Topic, group: str | None, hear: Hear) -> None:
        """See the port."""

        async def heard(message: Msg) -> None:
            await hear(unpacked(message.data))

        await self._subscribe(self._subject("live", topic), "" if group is None else token(group), heard)

    async def ask(self, topic: Topic, frame: bytes, seconds: float) -> bytes:
        """See the port."""
        try:
            answer = await self._link.client.request(self._subject("ask", topic), frame, timeout=seconds)
        except NoRespondersError as error:
            raise no_answer(topic) from error
        except TimeoutError:
            raise
        except Exception as error:
            raise transport_error(error, self._link.where) from error
        return answer.data

    async def answer(self, topic: Topic, reply: Reply) -> None:
        """See the port."""
        room = asyncio.Semaphore(AT_ONCE)

        async def answered(message: Msg) -> None:
            try:
                await self._link.client.publish(message.reply, await reply(message.data))
            except Exception as error:
                log.warning("an answer to %s could not be sent: %s", topic.type, error)
            finally:
                room.release()

        async def asked(message: Msg) -> None:
            await room.acquire()
            task = asyncio.create_task(answered(message))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

        await self._subscribe(self._subject("ask", topic), ANSWERING, asked)

    def missed(self) -> int:
        """See the port."""
        return self._missed

    def _subject(self, kind: str, topic: Topic) -> str:
        return f"{self._options.prefix}.{kind}.{token(topic.channel)}.{token(topic.type)}"

    async def _subscribe(self, subject: str, group: str, heard: Callable[[Msg], Awaitable[None]]) -> None:
        try:
            client = self._link.client
            self._subscriptions.append(
                await client.subscribe(  # pyright: ignore[reportUnknownMemberType]
                    subject, queue=group, cb=heard, pending_msgs_limit=self._options.waiting
                )
            )
            # The driver's ping may pass what it has not sent yet: with the second one's answer the server knows it.
            for _ in range(2):
                await client.flush(max(1, round(self._options.timeout)))
        except Exception as error:
            raise transport_error(error, self._link.where) from error

    def _troubled(self, error: Exception) -> None:
        if isinstance(error, SlowConsumerError):
            if not self._missed:
                log.warning(
                    "messages of %s come faster than they are handled and are dropped; counted from here on",
                    error.subject,
                )
            self._missed += 1

    async def _open(self) -> None:
        await self._link.open()
        self._some = asyncio.Event()
        self._teller = asyncio.create_task(self._tell_all(), name="catga-nats-bus")

    async def _tell_all(self) -> None:
        """What was told in one turn of the loop leaves together: the driver costs as much for one as for many."""
        while True:
            await self._some.wait()
            self._some.clear()
            await self._tell_waiting()

    async def _tell_waiting(self) -> None:
        waiting, self._waiting, self._size = self._waiting, {}, 0
        for subject, frames in waiting.items():
            for pack in packs(frames, PACK):
                try:
                    await self._link.client.publish(subject, pack)
                except Exception as error:
                    if self._stuck is None:
                        log.warning("events cannot leave and are dropped: %s", error)
                    self._stuck = error

    async def _close(self) -> None:
        if self._teller is not None:
            self._teller.cancel()
            await asyncio.wait([self._teller])
            await self._tell_waiting()
        subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            try:
                async with asyncio.timeout(self._options.timeout):
                    await subscription.drain()  # type: ignore[no-untyped-call]  # the driver says nothing
            except Exception as error:
                log.debug("closing: %s", error)
        if self._answering:
            await asyncio.wait(self._answering)
        await self._link.close()
