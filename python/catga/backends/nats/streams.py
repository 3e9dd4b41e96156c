"""Streams: one a channel, a subject a part; made where they are missing, and held to what is promised."""

import logging
from typing import Any

import nats.js.errors
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig, StreamInfo

from catga.backends.nats.failures import mismatch, transport_error
from catga.backends.nats.link import Link
from catga.backends.nats.options import token

log: logging.Logger = logging.getLogger("catga.nats")

WINDOW = 120.0
"""Seconds in which the server knows a pack that is sent again."""


class Stream:
    """Of one channel."""

    def __init__(self, link: Link, channel: str) -> None:
        self._link = link
        prefix, word = link.options.prefix, token(channel)
        self.name: str = f"{prefix}-{word}"
        self.bell: str = f"{prefix}-bell.{word}"
        self._base = f"{prefix}.{word}"

    def subject(self, part: int, urgent: bool) -> str:
        """Where a part's messages are published."""
        return f"{self._base}.urgent.{part}" if urgent else f"{self._base}.{part}"

    @property
    def urgent(self) -> str:
        """All that is urgent."""
        return f"{self._base}.urgent.*"

    async def declare(self) -> None:
        """Makes it, or checks the one that is there."""
        options = self._link.options
        wanted = StreamConfig(
            name=self.name,
            subjects=[f"{self._base}.*", self.urgent],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            # Refusing is told to whoever publishes; dropping the oldest is told to nobody.
            discard=DiscardPolicy.NEW,
            max_age=options.keep,
            num_replicas=options.replicas,
            duplicate_window=min(WINDOW, options.keep),
            allow_direct=True,
        )
        try:
            try:
                found = await self._link.jetstream.stream_info(self.name)
            except nats.js.errors.NotFoundError:
                found = await self._link.jetstream.add_stream(wanted)  # pyright: ignore[reportUnknownMemberType]
        except Exception as error:
            raise transport_error(error, self._link.where) from error
        if mistakes := self._mistakes(found.config, wanted):
            raise mismatch(self.name, mistakes, self._link.where)

    async def last(self) -> int:
        """The last sequence number."""
        try:
            found: StreamInfo = await self._link.jetstream.stream_info(self.name)
        except Exception as error:
            raise transport_error(error, self._link.where) from error
        return found.state.last_seq

    async def trim(self, part: int, urgent: bool, before: int) -> None:
        """Drops a part's entries in front of a sequence number."""
        await self._link.jetstream.purge_stream(self.name, seq=before, subject=self.subject(part, urgent))

    def _mistakes(self, found: StreamConfig, wanted: StreamConfig) -> list[str]:
        checks: list[tuple[str, Any, bool]] = [
            ("storage", found.storage, found.storage in (StorageType.FILE, "file")),
            ("discard", found.discard, found.discard in (DiscardPolicy.NEW, "new")),
            ("retention", found.retention, found.retention in (RetentionPolicy.LIMITS, "limits")),
            ("num_replicas", found.num_replicas, (found.num_replicas or 1) >= (wanted.num_replicas or 1)),
            ("allow_direct", found.allow_direct, bool(found.allow_direct)),
            ("subjects", found.subjects, set(wanted.subjects or ()) <= set(found.subjects or ())),
            ("max_msgs_per_subject", found.max_msgs_per_subject, (found.max_msgs_per_subject or -1) < 0),
        ]
        return [f"{name} is {value}" for name, value, right in checks if not right]
