"""`NatsBus`: live messages over NATS itself, without JetStream."""

import asyncio
import logging

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import SlowConsumerError

from catga.backends.nats.failures import transport_error
from catga.backends.nats.link import Link
from catga.backends.nats.options import NatsOptions, token
from catga.backends.users import Users
from catga.ports.bus import Hear, Topic

log: logging.Logger = logging.getLogger("catga.nats")


class NatsBus:
    """A topic is a subject, a group is a queue group. Subscriptions come back with the connection."""

    def __init__(self, options: NatsOptions) -> None:
        self.max_bytes: int = 1024 * 1024 - 4096
        self._prefix = options.prefix
        self._link = Link(options, self._troubled)
        self._subscriptions: list[Subscription] = []
        self._users = Users()
        self._missed = 0

    async def open(self) -> None:
        """See the port."""
        await self._users.join(self._link.open)

    async def close(self) -> None:
        """See the port."""
        await self._users.leave(self._close)

    async def tell(self, topic: Topic, frame: bytes) -> None:
        """See the port. While the connection is made again what is told waits in memory, as far as the driver has room."""
        try:
            await self._link.client.publish(self._subject(topic), frame)
        except Exception as error:
            raise transport_error(error, self._link.where) from error

    async def listen(self, topic: Topic, group: str | None, hear: Hear) -> None:
        """See the port."""

        async def heard(message: Msg) -> None:
            await hear(message.data)

        try:
            client = self._link.client
            self._subscriptions.append(
                await client.subscribe(  # pyright: ignore[reportUnknownMemberType]
                    self._subject(topic),
                    queue="" if group is None else token(group),
                    cb=heard,
                    pending_msgs_limit=self._link.options.waiting,
                )
            )
            await client.flush(max(1, round(self._link.options.timeout)))
        except Exception as error:
            raise transport_error(error, self._link.where) from error

    def missed(self) -> int:
        """See the port."""
        return self._missed

    def _subject(self, topic: Topic) -> str:
        return f"{self._prefix}.live.{token(topic.channel)}.{token(topic.type)}"

    def _troubled(self, error: Exception) -> None:
        if isinstance(error, SlowConsumerError):
            if not self._missed:
                log.warning(
                    "messages of %s come faster than they are handled and are dropped; counted from here on",
                    error.subject,
                )
            self._missed += 1

    async def _close(self) -> None:
        subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            try:
                async with asyncio.timeout(self._link.options.timeout):
                    await subscription.drain()
            except Exception as error:
                log.debug("closing: %s", error)
        await self._link.close()
