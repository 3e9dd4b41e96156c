"""Units as bundles: what a script writes as a whole or not at all. One for all of a commit, as long as nothing stands in the
way of any of them; otherwise one each."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import msgspec

from catga.backends.redis.scripts import word
from catga.messages import NORMAL
from catga.ports.messages import Outgoing
from catga.ports.store import Mark, MarkState, Parked, ParkedState, Unit
from catga.queues import rank_of
from catga.queues.packs import packed

Bundle: TypeAlias = tuple[Any, ...]

PACK = 64 * 1024
"""Bytes of a pack that holds more than one message."""

STATES = {
    ParkedState.RETRY: 1,
    ParkedState.BLOCKED: 2,
    ParkedState.SCHEDULED: 3,
    ParkedState.DEAD: 4,
}

encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode


class Tangled(Exception):
    """Two units of a commit are about the same mark or the same parked row: they must be written one after the other."""


def together(units: Sequence[Unit], colocated: bool, words: list[bytes]) -> Bundle:
    """All of them as one, its bytes among the words; raises `Tangled`."""
    marks = [mark for unit in units for mark in unit.marks]
    if len({(mark.day, mark.handler, mark.id) for mark in marks}) < len(marks):
        raise Tangled
    owners: dict[tuple[str, bytes], int] = {}
    for number, unit in enumerate(units):
        if len(set(unit.unpark)) < len(unit.unpark):
            raise Tangled
        for name in (*unit.unpark, *((row.handler, row.id) for row in unit.park)):
            if owners.setdefault(name, number) != number:
                raise Tangled
    return _bundle(
        units,
        marks,
        [row for unit in units for row in unit.park],
        [message for unit in units for message in unit.publish],
        colocated,
        words,
        twice=False,
    )


def alone(unit: Unit, colocated: bool, words: list[bytes]) -> Bundle:
    """One of them."""
    fresh = [(mark.day, mark.handler, mark.id) for mark in unit.marks if not mark.replace]
    twice = len(set(fresh)) < len(fresh) or len(set(unit.unpark)) < len(unit.unpark)
    return _bundle([unit], unit.marks, unit.park, unit.publish, colocated, words, twice=twice)


def value_of(mark: Mark) -> bytes:
    """A mark as it is kept: its state, and the reply if there is one."""
    state = b"%d" % mark.state
    return state if mark.reply is None else b"%b=%b" % (state, mark.reply)


def mark_of(day: int, handler: str, id: bytes, value: bytes) -> Mark:
    """The mark that was kept."""
    state, _, reply = value.partition(b"=")
    return Mark(day, handler, id, MarkState(int(state)), reply if len(value) > len(state) else None)


def _bundle(
    units: Sequence[Unit],
    marks: Sequence[Mark],
    park: Sequence[Parked],
    publish: Sequence[Outgoing],
    colocated: bool,
    words: list[bytes],
    *,
    twice: bool,
) -> Bundle:
    leases = {(lease.scope, lease.part, lease.epoch) for unit in units for lease in unit.leases}
    return (
        [each for lease in leases for each in lease],
        _marks(words, (mark for mark in marks if not mark.replace)),
        _marks(words, (mark for mark in marks if mark.replace)),
        [each for unit in units for handler, id in unit.unpark for each in (handler, word(words, id))],
        [each for row in park for each in _row(words, row)],
        [] if colocated else [each for message in publish for each in (message.part, word(words, _outgoing(message)))],
        _packs(words, publish) if colocated and publish else [],
        twice,
    )


def _marks(words: list[bytes], marks: Iterable[Mark]) -> list[tuple[int, str, int, int]]:
    groups: dict[tuple[int, str], list[bytes]] = {}
    for mark in marks:
        groups.setdefault((mark.day, mark.handler), []).extend((mark.id, value_of(mark)))
    return [
        (day, handler, first, first + len(pairs) - 1)
        for (day, handler), pairs in groups.items()
        for first in (word(words, *pairs),)
    ]


def _row(words: list[bytes], row: Parked) -> tuple[Any, ...]:
    key = word(words, row.key or b"")
    place = (row.channel, row.part, int(row.key is not None), key, STATES[row.state], row.due_ms, row.order)
    return row.handler, word(words, row.id), place, word(words, encode(row))


def _outgoing(message: Outgoing) -> bytes:
    return encode(msgspec.structs.astuple(message))


def _packs(words: list[bytes], publish: Sequence[Outgoing]) -> list[Any]:
    urgent = [rank_of(message) < NORMAL for message in publish]
    return [
        each
        for line in packed(publish, urgent, PACK)
        for pack in line
        for each in (pack.channel, int(pack.urgent), pack.part, len(pack.items), word(words, pack.payload))
    ]
