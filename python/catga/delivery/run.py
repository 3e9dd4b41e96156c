"""One attempt: the handler's coroutine becomes a unit to commit, or a failure."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from catga.context import Context, Later, published
from catga.delivery.claims import Claims
from catga.delivery.work import Target, Work
from catga.envelope import DAY_MS, Codec, Envelope
from catga.errors import HandlerCancelled
from catga.mediator.carried import check_deadline
from catga.messages import Event
from catga.ports.messages import Outgoing
from catga.ports.store import Mark, MarkState, Parked, ParkedState, Unit
from catga.result import Err
from catga.transaction import Connection, Row, Transaction

SCHEDULED = "@scheduled"
"""What stands for the handler of a message that waits for its time: it belongs to none yet."""


_DONE = MarkState.DONE


class Outbox:
    """Turns what handlers published into rows: the identity is fixed here, and every later sending reuses it."""

    def __init__(self, app: Any, codec: Codec, claims: Claims | None) -> None:
        self._app = app
        self._codec = codec
        self._claims = claims
        self.unkept: Sequence[Any] = codec.unkept
        """Where this holds something after rows were made, `keep` must end before they are committed."""

    def rows(self, out: Sequence[Any], envelope: Envelope | None) -> tuple[list[Outgoing], list[Parked]]:
        """(rows to publish now, rows to park until their time); `envelope` is of the message they were sent for."""
        now = self._app.clock.wall_ms()
        publish: list[Outgoing] = []
        park: list[Parked] = []
        ext, deadline = (None, 0) if envelope is None else (envelope.ext_of_followers(), envelope.deadline_ms)
        for item in out:
            if item.__class__ is Later:
                park.append(scheduled(self._codec.encode(item.message, item.id, now, item.due_ms, 0, ext)))
            else:
                # What has happened stays true, whenever it is heard: events have no deadline.
                left = 0 if not deadline or isinstance(item, Event) else deadline
                publish.append(self._codec.encode(item, self._app.ids.next(now), now, now, left, ext))
        return publish, park

    async def keep(self) -> None:
        """Puts large payloads where they stay."""
        if self._claims is not None:
            await self._claims.keep()


def scheduled(row: Outgoing) -> Parked:
    """A message that waits for its time and belongs to no handler yet."""
    return Parked(SCHEDULED, row.id, row.channel, row.part, row.key, ParkedState.SCHEDULED, row.due_ms, row.frame)


class Runner:
    """Calls handlers and says what their success writes."""

    def __init__(
        self, app: Any, outbox: Outbox, fetch: Callable[[str, tuple[Any, ...]], Awaitable[Sequence[Row]]]
    ) -> None:
        self._app = app
        self._outbox = outbox
        self._fetch = fetch
        self.unkept: Sequence[Any] = outbox.unkept
        self.keep: Callable[[], Awaitable[None]] = outbox.keep

    def context(self, work: Work, connection: Connection | None = None) -> Context:
        """Of one attempt; `DeadlineExceeded` where nobody wants it any more."""
        envelope = work.envelope
        check_deadline(self._app, envelope)
        tx = connection or Transaction(self._fetch)
        return Context(self._app, None, tx, envelope, work.failures + 1, envelope.id)

    def batch_context(self) -> Context:
        """Of one attempt at a list."""
        return Context(self._app, None, Transaction(self._fetch))

    def reply(self, work: Work, ctx: Context) -> Awaitable[Any]:
        """What the handler replies; raises what it raises, after the immediate retries."""
        target = work.target
        if target.retry.immediate:
            return self._tries(target, work.message, ctx)
        return target.call(work.message, ctx)

    def batch_reply(self, target: Target, works: Sequence[Work], ctx: Context) -> Awaitable[Any]:
        """One call for a list of messages."""
        return self._tries(target, [work.message for work in works], ctx)

    async def _tries(self, target: Target, message: Any, ctx: Context) -> Any:
        tries = target.retry.immediate
        while True:
            try:
                return await target.call(message, ctx)
            except target.retry.on:
                if tries <= 0:
                    raise
                tries -= 1
                ctx.attempt += 1
                ctx._discard()

    def unit(self, work: Work, ctx: Context, reply: Any) -> Unit:
        """What a success writes: nothing but its mark where the reply is `Err`."""
        envelope, parked = work.envelope, work.parked
        day = envelope.due_ms // DAY_MS
        unit = Unit(marks=(Mark(day, work.target.id, envelope.id, _DONE, None, parked is not None),))
        if reply.__class__ is not Err:
            if isinstance(ctx._tx, Transaction):
                unit.statements = ctx._tx.statements
            if ctx._out is not None:
                unit.publish, unit.park = self._outbox.rows(published(ctx), ctx._envelope)
        if parked is not None:
            unit.unpark = (work.name,)
        return unit

    def batch_unit(self, target: Target, works: Sequence[Work], ctx: Context) -> Unit:
        """What a list's success writes: everybody's mark with what the handler wrote."""
        id = target.id
        unit = Unit(
            statements=ctx._tx.statements,
            marks=[
                Mark(work.envelope.due_ms // DAY_MS, id, work.envelope.id, _DONE, None, work.parked is not None)
                for work in works
            ],
            unpark=[work.name for work in works if work.parked is not None],
        )
        if ctx._out is not None:
            unit.publish, unit.park = self._outbox.rows(published(ctx), None)
        return unit


def own_cancellation(work: Work, error: BaseException) -> HandlerCancelled:
    """A handler that raised CancelledError although nobody had asked it to stop."""
    failed = HandlerCancelled(
        f"the handler of {work.envelope.type} raised CancelledError by itself",
        where=work.target.handler.where,
        why="something it awaited was cancelled, and Catga had not asked for it",
        fix="catch it where that task is awaited",
    )
    failed.__cause__ = error
    return failed
