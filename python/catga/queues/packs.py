"""Packs: the messages of one part that are sent together are one entry of a broker's log; clients pay by the entry."""

from collections.abc import Iterator, Sequence

import msgspec

from catga.ports.messages import Outgoing

BITS = 12
FRAMES = 1 << BITS
"""At most so many in a pack: a message's number is that of its entry, and its place in it."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[bytes]).decode


class Pack(msgspec.Struct, frozen=True):
    """What goes out as one entry; `items` are places in the list that was to be published."""

    channel: str
    part: int
    urgent: bool
    items: Sequence[int]
    payload: bytes


def packed(batch: Sequence[Outgoing], urgent: Sequence[bool], most_bytes: int) -> Iterator[list[Pack]]:
    """For each part (and rank) its packs, in order. One that holds a single message may be larger than `most_bytes`."""
    frames = [message.frame for message in batch]
    lines: dict[tuple[str, int, bool], list[int]] = {}
    for place, message in enumerate(batch):
        lines.setdefault((message.channel, message.part, urgent[place]), []).append(place)
    for (channel, part, first), places in lines.items():
        yield [
            Pack(channel, part, first, items, _encode([frames[place] for place in items]))
            for items in _cut(frames, places, most_bytes)
        ]


def packs(frames: Sequence[bytes], most_bytes: int) -> Iterator[bytes]:
    """Frames as few payloads, in their order; one alone as it is."""
    for items in _cut(frames, range(len(frames)), most_bytes):
        yield frames[items[0]] if len(items) == 1 else _encode([frames[place] for place in items])


def unpacked(payload: bytes) -> Sequence[bytes]:
    """The frames; what a stranger has sent is one frame, and found out where it is decoded."""
    try:
        frames = _decode(payload)
    except msgspec.DecodeError:
        return [payload]
    return frames if 0 < len(frames) <= FRAMES else [payload]


def _cut(frames: Sequence[bytes], places: Sequence[int], most_bytes: int) -> Iterator[list[int]]:
    items: list[int] = []
    size = 0
    for place in places:
        length = len(frames[place]) + 9
        if items and (size + length > most_bytes or len(items) == FRAMES):
            yield items
            items, size = [], 0
        items.append(place)
        size += length
    yield items
