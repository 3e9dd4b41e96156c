"""Groups of dead letters that died of the same thing."""

import hashlib
from collections.abc import Iterable

import msgspec

from catga import _core
from catga.delivery.failures import history_of
from catga.ports.store import Parked


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters with one fingerprint."""

    fingerprint: str
    type: str
    """Of the last error of each."""
    place: str
    """The function of the handler's package that it came out of, as `module:function`; empty where there was none."""
    handlers: tuple[str, ...]
    messages: tuple[str, ...]
    """Names of their types."""
    count: int
    first_ms: int
    last_ms: int
    """Of the last failures, in ms since the epoch; 0 where that is not known."""
    example: str
    """The id of one of them."""


def fingerprint(row: Parked) -> str:
    """Of what it died of: the error's type, and the first function of the handler's package on the way out; no lines, no texts, so that
    neither an edit beside it nor an id in a message makes another group of it."""
    return _digest(*_cause(row))


def grouped(rows: Iterable[Parked]) -> list[Group]:
    """Of dead letters, newest first; the largest group first."""
    groups: dict[tuple[str, str], list[Parked]] = {}
    for row in rows:
        groups.setdefault(_cause(row), []).append(row)
    made = [_group(*cause, members) for cause, members in groups.items()]
    return sorted(made, key=lambda group: -group.count)


def _group(type: str, place: str, rows: list[Parked]) -> Group:
    times = [history[-1].at_ms for row in rows if (history := history_of(row))]
    return Group(
        fingerprint=_digest(type, place),
        type=type,
        place=place,
        handlers=tuple(sorted({row.handler for row in rows})),
        messages=tuple(sorted({_name(row) for row in rows})),
        count=len(rows),
        first_ms=min(times, default=0),
        last_ms=max(times, default=0),
        example=rows[0].id.hex(),
    )


def _cause(row: Parked) -> tuple[str, str]:
    history = history_of(row)
    if not history:
        # No handler ever saw it: its reason begins with the code of what was wrong.
        return row.reason.partition(" ")[0], ""
    return history[-1].type, history[-1].place


def _digest(type: str, place: str) -> str:
    return hashlib.blake2b(f"{type}\0{place}".encode(), digest_size=6).hexdigest()


def _name(row: Parked) -> str:
    try:
        return _core.unpack(row.frame)[9]
    except _core.FrameError:
        return "(no frame)"
