"""What a failure writes: a parked row for the next try, or a dead letter with its reason and history."""

import traceback
from collections.abc import Callable
from typing import Any

import msgspec

from catga.clock import Clock, Entropy
from catga.delivery.work import Work
from catga.envelope import Envelope
from catga.errors import BlobMissing, CatgaError, DeadlineExceeded, OutsideWindow, Poison
from catga.ports.store import Mark, MarkState, Parked, ParkedState, Unit

HISTORY = 10
"""Failures that are kept of one message: the first and the last nine."""

UNREADABLE = ""
"""What stands for the handler of bytes that no handler can be found for."""

BLOCKING = -1
"""The due time of a dead letter whose key waits for its replay."""

_FINAL = (BlobMissing, DeadlineExceeded, OutsideWindow, Poison)


class Failure(msgspec.Struct, frozen=True):
    """One failed try, as data: text of other processes is never turned back into classes."""

    at_ms: int
    attempt: int
    type: str
    what: str
    trace: str = ""
    place: str = ""
    """The function of the handler's package that the error came out of, as `module:function`."""


def history_of(row: Parked) -> list[Failure]:
    """The failures a parked row remembers."""
    return msgspec.msgpack.decode(row.history, type=list[Failure]) if row.history else []


class Failures:
    """Decides between another try and a dead letter."""

    def __init__(self, channel: str, clock: Clock, entropy: Entropy) -> None:
        self._channel = channel
        self._clock = clock
        self._entropy = entropy

    def unit(self, work: Work, error: BaseException) -> tuple[Unit, Parked]:
        """The unit that records a failure, and the row it parks."""
        now = self._clock.wall_ms()
        failures = work.failures + 1
        retry = work.target.retry
        again = isinstance(error, retry.on) and not isinstance(error, _FINAL) and failures <= retry.delayed
        past = history_of(work.parked) if work.parked is not None else []
        history = [
            *past,
            Failure(
                now, failures, _type(error), str(error), _trace(error), _place(error, work.target.handler.function)
            ),
        ]
        if len(history) > HISTORY:
            history = [history[0], *history[1 - HISTORY :]]
        if again:
            state, due = ParkedState.RETRY, now + int(retry.wait(failures, self._entropy.random()) * 1000)
        else:
            state, due = ParkedState.DEAD, BLOCKING if work.target.handler.when_dead == "block" else 0
        reason = f"{_code(error)} {error}" if _code(error) else f"{_type(error)}: {error}"
        row = self._row(work, state, due, failures, reason, msgspec.msgpack.encode(history))
        return self._unit(work, row, MarkState.DEFERRED if again else MarkState.DEAD), row

    def blocked(self, work: Work) -> tuple[Unit, Parked]:
        """The unit that puts a message behind the one of its key that waits."""
        row = self._row(work, ParkedState.BLOCKED, 0, work.failures, "", b"")
        return self._unit(work, row, MarkState.DEFERRED), row

    def _row(self, work: Work, state: ParkedState, due: int, failures: int, reason: str, history: bytes) -> Parked:
        envelope, parked = work.envelope, work.parked
        place, claims = (parked.order, parked.claims) if parked is not None else (0, 0)
        return Parked(
            work.target.id,
            envelope.id,
            self._channel,
            work.part,
            envelope.key,
            state,
            due,
            work.frame,
            claims,
            failures,
            reason,
            history,
            place,
        )

    def _unit(self, work: Work, row: Parked, state: MarkState) -> Unit:
        parked = work.parked is not None
        mark = Mark(work.envelope.day, work.target.id, work.envelope.id, state, replace=parked)
        return Unit(marks=[mark], park=[row], unpark=[(row.handler, row.id)] if parked else ())


def undeliverable(frame: bytes, id: bytes, channel: str, part: int, error: Exception) -> Parked:
    """A dead letter for bytes that no handler can be found for."""
    return Parked(
        UNREADABLE, id, channel, part, None, ParkedState.DEAD, 0, frame, 0, 0, f"{_code(error)} {error}".strip()
    )


def outside_window(envelope: Envelope) -> OutsideWindow:
    """Too old to know whether it was handled."""
    return OutsideWindow(
        "older than the dedupe window",
        where=f"message {envelope.id.hex()}",
        why="whether it was handled before can no longer be known",
        fix="replay it if it was not",
    )


def _code(error: BaseException) -> str:
    return str(getattr(error, "code", "")) if not isinstance(error, CatgaError) else ""


def _type(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")


def _place(error: BaseException, handler: Callable[..., Any]) -> str:
    """The function nearest to where it was raised that is of the handler's own package: others' code and ours raise for many
    reasons."""
    own = handler.__module__.partition(".")[0]
    place, trace = "", error.__traceback__
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] == own:
            place = f"{module}:{frame.f_code.co_qualname}"
    return place


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error, limit=-8))[-4000:]
