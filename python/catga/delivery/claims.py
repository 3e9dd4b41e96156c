"""Large payloads on their way: into the blobs before the commit, out of them before the handler."""

import logging
from collections.abc import Sequence

from catga.envelope import DAY_MS, Claimed, Codec, Decoded, blob_of
from catga.errors import CatgaError
from catga.ports.blobs import Blobs

log: logging.Logger = logging.getLogger("catga.delivery")


class Claims:
    """Shared by all that encode and decode."""

    def __init__(self, codec: Codec, blobs: Blobs, keep_days: int) -> None:
        self._codec = codec
        self._blobs = blobs
        self._keep_ms = keep_days * DAY_MS

    async def keep(self) -> None:
        """Puts what was encoded since the last call; asked for without an await in between, so that it is the caller's own.
        What is never committed after all goes by its age."""
        taken = list(self._codec.unkept)
        self._codec.unkept.clear()
        for kept in taken:
            await self._blobs.put(kept.name, kept.payload, kept.due_ms + self._keep_ms)

    async def redeem(self, decoded: Sequence[Decoded]) -> Sequence[Decoded]:
        """With the messages whose payloads were put aside. One that cannot be had says why, in its place."""
        if not any(isinstance(item, Claimed) for item in decoded):
            return decoded
        return [await self._redeemed(item) if isinstance(item, Claimed) else item for item in decoded]

    async def _redeemed(self, claimed: Claimed) -> Decoded:
        try:
            content = await self._blobs.get(claimed.name, claimed.claim.size)
        except CatgaError as error:
            claimed.error = error
            return claimed
        return claimed if content is None else self._codec.redeem(claimed, content)

    async def remove(self, frames: Sequence[bytes]) -> None:
        """All handlers of these have ended. What cannot be removed now goes by its age."""
        names = [name for frame in frames if (name := blob_of(frame)) is not None]
        if names:
            try:
                await self._blobs.remove(names)
            except CatgaError as error:
                log.warning("%d blobs cannot be removed now: %s", len(names), error)
