"""`send` to a handler that writes: the reply is given after its commit."""

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from catga.context import Context, leave, published
from catga.delivery.committer import Committer
from catga.delivery.run import Outbox
from catga.delivery.work import CONFLICTS, Target
from catga.envelope import DAY_MS, Codec, Envelope
from catga.errors import CommitRefused, Conflict
from catga.messages import reply_type
from catga.ports.store import COMMITTED, Commit, Mark, Store, Unit
from catga.result import Err
from catga.transaction import Transaction


class Direct:
    """Plans of kind transactional."""

    def __init__(self, app: Any, codec: Codec, store: Store, committer: Committer, outbox: Outbox) -> None:
        self._app = app
        self._codec = codec
        self._store = store
        self._committer = committer
        self._outbox = outbox

    def plan(self, target: Target) -> Callable[..., Coroutine[Any, Any, Any]]:
        """A function of (message, id, envelope): with an id, the same question again gets the stored reply and no second effect."""
        decoder = msgspec.msgpack.Decoder(reply_type(target.handler.message))

        async def plan(message: Any, id: bytes | None = None, envelope: Envelope | None = None) -> Any:
            day = _day_of(id, self._app.clock.wall_ms())
            if id is not None and (known := await self._stored(target, day, id)) is not None:
                return decoder.decode(known)
            tries = target.retry.immediate
            conflicts = 0
            ctx = Context(self._app, None, Transaction(self._store.fetch), envelope, 1, id)
            try:
                while True:
                    try:
                        reply, outcome = await self._attempt(target, message, ctx, day)
                    except target.retry.on:
                        if tries <= 0:
                            raise
                        tries -= 1
                    else:
                        if outcome.commit is Commit.COMMITTED:
                            return reply
                        if outcome.commit is Commit.DUPLICATE and id is not None:
                            return decoder.decode(await self._stored(target, day, id) or b"\xc0")
                        conflicts += 1
                        if not isinstance(outcome.error, Conflict) or conflicts > CONFLICTS:
                            raise outcome.error or CommitRefused("the commit was refused", why=outcome.commit.value)
                    ctx.attempt += 1
                    ctx._discard()
            finally:
                await leave(ctx)

        return plan

    async def _attempt(self, target: Target, message: Any, ctx: Context, day: int) -> Any:
        def unit_of(reply: Any) -> Unit:
            unit = Unit()
            if ctx._id is not None:
                unit.marks = [Mark(day, target.id, ctx._id, reply=self._codec.encode_value(reply))]
            if reply.__class__ is not Err:
                unit.statements = ctx._tx.statements if isinstance(ctx._tx, Transaction) else ()
                if ctx._out is not None:
                    unit.publish, unit.park = self._outbox.rows(published(ctx), ctx._envelope)
            return unit

        async def kept(unit: Unit) -> Unit:
            if self._outbox.unkept:
                await self._outbox.keep()
            return unit

        if target.writes:

            async def work(connection: Any) -> tuple[Any, Unit]:
                ctx._tx = connection
                reply = await target.call(message, ctx)
                return reply, await kept(unit_of(reply))

            (reply, _), _, outcome = await self._store.exclusive(work, lambda result: result[1])
            return reply, outcome
        reply = await target.call(message, ctx)
        unit = await kept(unit_of(reply)) if ctx._out is not None else unit_of(reply)
        if not (unit.statements or unit.publish or unit.park or unit.marks):
            return reply, COMMITTED
        (outcome,) = await self._committer.submit([unit])
        return reply, outcome

    async def publish(self, ctx: Context) -> None:
        """Commits what a handler published that writes nothing else."""
        publish, park = self._outbox.rows(published(ctx), ctx._envelope)
        if self._outbox.unkept:
            await self._outbox.keep()
        (outcome,) = await self._committer.submit([Unit(publish=publish, park=park)])
        if outcome.error is not None:
            raise outcome.error

    async def _stored(self, target: Target, day: int, id: bytes) -> bytes | None:
        mark = await self._store.mark(day, target.id, id)
        return None if mark is None else (mark.reply or b"\xc0")


def _day_of(id: bytes | None, now_ms: int) -> int:
    """The day in a time-ordered id, so that asking again after midnight finds the same mark; today for another id."""
    if id is None or len(id) != 16 or id[6] >> 4 != 7:
        return now_ms // DAY_MS
    return int.from_bytes(id[:6]) // DAY_MS
