"""Publishing: parts side by side, the packs of each one after the other."""

import asyncio
import hashlib
from collections.abc import Sequence

import nats.js.errors

from catga.backends.nats.link import Link
from catga.backends.nats.streams import Stream
from catga.ports.messages import Outgoing
from catga.ports.transport import Sent
from catga.queues.packs import Pack

TOO_LARGE = 10054
"""The server's code for a message above the stream's limit."""


async def publish(
    link: Link, streams: dict[str, Stream], batch: Sequence[Outgoing], lines: Sequence[list[Pack]]
) -> list[Sent]:
    """What became of each message. Where a pack fails, those behind it in its part are not tried: they would overtake it."""
    outcomes = [Sent.SKIPPED] * len(batch)

    async def line(packs: list[Pack]) -> None:
        for pack in packs:
            outcome = await _send(link, streams[pack.channel], batch, pack)
            for place in pack.items:
                outcomes[place] = outcome
            if outcome is not Sent.ACCEPTED:
                return

    await asyncio.gather(*map(line, lines))
    for channel in {
        message.channel for message, outcome in zip(batch, outcomes, strict=True) if outcome is Sent.ACCEPTED
    }:
        await link.client.publish(streams[channel].bell)
    return outcomes


async def _send(link: Link, stream: Stream, batch: Sequence[Outgoing], pack: Pack) -> Sent:
    if len(pack.payload) > link.client.max_payload:
        return Sent.REJECTED
    # Sent again as it is, it is known to the server for a while; the inbox knows each message for days.
    id = hashlib.blake2b(b"".join(batch[place].id for place in pack.items), digest_size=16).hexdigest()
    try:
        await link.publish(stream.name, stream.subject(pack.part, pack.urgent), pack.payload, id)
    except nats.js.errors.APIError as error:
        return Sent.REJECTED if error.err_code == TOO_LARGE else Sent.UNKNOWN
    except Exception:
        return Sent.UNKNOWN
    return Sent.ACCEPTED
