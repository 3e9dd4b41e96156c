"""Reading the parked rows: due retries, their followers, schedules, dead letters."""

from collections.abc import Sequence
from typing import Any

import msgspec

from catga.backends.redis.failures import store_error
from catga.backends.redis.link import Link
from catga.backends.redis.scripts import LOOKING
from catga.ports.store import Parked, Waiting

_decode = msgspec.msgpack.Decoder(Parked).decode


class Looking:
    """Of one store object."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def due(self, channel: str, parts: Sequence[int], now_ms: int, most: int) -> list[Parked]:
        """Retries and schedules whose time has come, oldest due first."""
        return _rows(await self._ask("due", channel, parts, now_ms, most))

    async def followers(self, channel: str, part: int, handler: str, key: bytes, most: int) -> list[Parked]:
        """The blocked rows at the front of a key's queue."""
        return _rows(await self._ask("followers", channel, part, handler, most, words=[key]))

    async def waiting(self, channel: str, parts: Sequence[int]) -> list[Waiting]:
        """Rows that later messages of their key must wait behind."""
        found = sorted(await self._ask("waiting", channel, parts))
        return [
            Waiting(handler.decode(), key, part, id, bool(dead))
            for _, part, name, key, dead in found
            for handler, _, id in (name.partition(b"\0"),)
        ]

    async def dead(self, most: int, handler: str | None) -> list[Parked]:
        """Newest first."""
        return _rows(await self._ask("dead", handler or "", handler is None, most))

    async def next_due(self) -> int | None:
        """The earliest time."""
        earliest = int(await self._ask("next"))
        return None if earliest < 0 else earliest

    async def _ask(self, *arguments: Any, words: Sequence[bytes] = ()) -> Any:
        self._link.check()
        try:
            return await LOOKING(self._link, *arguments, words=words)
        except Exception as error:
            raise store_error(error, self._link.options.where) from error


def _rows(answer: Sequence[Any]) -> list[Parked]:
    found: list[Parked] = []
    for name, order, row in zip(answer[::3], answer[1::3], answer[2::3], strict=True):
        handler = name.partition(b"\0")[0].decode()
        found.append(msgspec.structs.replace(_decode(row), handler=handler, order=order))
    return found
