"""Headers: given at the edge, read from the context, handed on to what a handler sends, publishes and schedules."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tests.unit.scene import Scene

from catga import Catga, Command, Context, Event, Headers, StreamQuery, Transaction
from catga.clock import sleep
from catga.envelope import Envelope
from catga.envelope.headers import MOST, caused_by
from catga.errors import BadHeaders, DeadlineExceeded, InvalidArgument
from catga.middleware import Idempotency
from catga.testing import VirtualClock, run

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
GIVEN = Headers(tenant="acme", traceparent=TRACE, tracestate="a=1", within=60.0, more={"source": "web"})


class Begin(Command[str]):
    pass


class Step(Command[str]):
    pass


class Values(StreamQuery[str]):
    pass


class Begun(Event):
    pass


class Later(Event):
    pass


Seen = dict[str, dict[str, Any]]


def note(seen: Seen, name: str, ctx: Context) -> None:
    seen[name] = {
        "id": ctx.id,
        "tenant": ctx.tenant,
        "correlation": ctx.correlation_id,
        "cause": ctx.causation_id,
        "remaining": ctx.remaining,
        "trace": (ctx.headers.get("traceparent"), ctx.headers.get("tracestate")),
        "source": ctx.headers.get("source"),
    }


def with_handlers(app: Catga, seen: Seen, sending: bool = True) -> Catga:
    @app.handler(Begin)
    async def begin(cmd: Begin, ctx: Context) -> str:
        note(seen, "begin", ctx)
        ctx.publish(Begun())
        ctx.enqueue(Step()) if not sending else None
        ctx.schedule(Later(), delay=5.0)
        return await ctx.send(Step()) if sending else ""

    @app.handler(Step)
    async def step(cmd: Step, ctx: Context) -> str:
        note(seen, "step", ctx)
        return ctx.tenant or "nobody"

    @app.handler(Begun)
    async def begun(event: Begun, ctx: Context) -> None:
        note(seen, "begun", ctx)

    @app.handler(Later)
    async def later(event: Later, ctx: Context) -> None:
        note(seen, "later", ctx)

    return app


def check(seen: Seen) -> None:
    first = seen["begin"]
    assert (first["tenant"], first["cause"], first["source"]) == ("acme", None, "web")
    assert first["correlation"] == first["id"]
    for name in ("step", "begun", "later"):
        one = seen[name]
        assert (one["tenant"], one["trace"]) == ("acme", (TRACE, "a=1")), name
        assert (one["cause"], one["correlation"], one["source"]) == (first["id"], first["id"], None), name
    assert len({one["id"] for one in seen.values()}) == 4
    assert 0 < seen["step"]["remaining"] <= first["remaining"] <= 60
    assert seen["begun"]["remaining"] is seen["later"]["remaining"] is None


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("verb", ["send", "enqueue"])
def test_what_is_given_at_the_edge_reaches_all_that_comes_of_it(durable: bool, verb: str) -> None:
    async def main() -> None:
        scene, seen = Scene(), Seen()
        app = with_handlers(scene.app(**({} if durable else {"store": ""})), seen, sending=verb == "send")
        app.store = app.store or None
        async with scene.running(app):
            if verb == "send":
                assert await scene.run(app.send(Begin(), headers=GIVEN)) == "acme"
            else:
                await scene.run(app.enqueue(Begin(), headers=GIVEN))
            await scene.run(app.settled())
            await scene.clock.advance(6.0)
            await scene.run(app.settled())
        check(seen)

    run(main())


@pytest.mark.parametrize("durable", [False, True])
def test_an_event_is_heard_and_a_schedule_runs_with_its_headers(durable: bool) -> None:
    async def main() -> None:
        scene, seen = Scene(), Seen()
        app = with_handlers(scene.app(), seen)
        app.store = app.store if durable else None
        async with scene.running(app):
            await scene.run(app.publish(Begun(), headers=Headers(tenant="a", correlation_id="c", causation_id="b")))
            await scene.run(app.schedule(Later(), delay=60.0, headers=Headers(tenant="b", within=30.0)))
            await scene.run(app.enqueue_many([Step()], headers=Headers(tenant="c")))
            await scene.run(app.settled())
            await scene.clock.advance(61.0)
            await scene.run(app.settled())
        assert (seen["begun"]["tenant"], seen["begun"]["correlation"], seen["begun"]["cause"]) == ("a", "c", "b")
        assert seen["later"]["tenant"] == "b"
        assert 28.0 < seen["later"]["remaining"] <= 30.0
        assert seen["step"]["tenant"] == "c"

    run(main())


def test_a_handler_that_writes_reads_its_headers_and_keeps_no_reply_for_an_id_that_nobody_gave() -> None:
    async def main() -> None:
        scene, seen = Scene(), Seen()
        app = scene.app()

        @app.handler(Begin)
        async def begin(cmd: Begin, ctx: Context, tx: Transaction) -> str:
            note(seen, "begin", ctx)
            ctx.publish(Begun())
            return ctx.id

        @app.handler(Begun)
        async def begun(event: Begun, ctx: Context) -> None:
            note(seen, "begun", ctx)

        async with scene.running(app):
            id = await scene.run(app.send(Begin(), headers=Headers(tenant="acme")))
            store = app.store
            assert await store.mark(scene.clock.wall_ms() // 86_400_000, "scene.begin", bytes.fromhex(id)) is None
            await scene.run(app.settled())
        assert (seen["begun"]["tenant"], seen["begun"]["cause"]) == ("acme", id)

    run(main())


@pytest.mark.parametrize("durable", [False, True])
def test_an_event_may_come_with_an_id(durable: bool) -> None:
    async def main() -> None:
        scene, seen = Scene(), Seen()
        app = with_handlers(scene.app(), seen)
        app.store = app.store if durable else None
        async with scene.running(app):
            await scene.run(app.publish(Begun(), id="ab" * 16))
            await scene.run(app.settled())
        assert seen["begun"]["id"] == "ab" * 16

    run(main())


def test_what_is_remembered_by_its_id_is_remembered_with_headers_too() -> None:
    runs: list[str | None] = []

    async def main() -> None:
        app = Catga("x", clock=VirtualClock(), middleware=(Idempotency(),))

        @app.handler(Step)
        async def step(cmd: Step, ctx: Context) -> str:
            runs.append(ctx.tenant)
            return ctx.tenant or ""

        async with app:
            for _ in range(2):
                assert await app.send(Step(), id="ab" * 16, headers=Headers(tenant="x")) == "x"

    run(main())
    assert runs == ["x"]


def test_a_stream_query_has_them_too() -> None:
    async def main() -> None:
        app = Catga("x", clock=VirtualClock())

        @app.handler(Values)
        async def values(query: Values, ctx: Context) -> AsyncIterator[str]:
            yield ctx.tenant or "nobody"

        async with app:
            assert [value async for value in app.iterate(Values(), headers=Headers(tenant="x"))] == ["x"]
            assert [value async for value in app.iterate(Values())] == ["nobody"]

    run(main())


def test_an_id_and_headers_go_together() -> None:
    async def main() -> None:
        scene, seen = Scene(), Seen()
        app = with_handlers(scene.app(), seen)
        async with scene.running(app):
            assert await scene.run(app.send(Step(), id="ab" * 16, headers=Headers(tenant="x"))) == "x"
            await scene.run(app.send(Begin(), id="cd" * 16))
            await scene.run(app.settled())
        assert seen["begin"]["id"] == "cd" * 16

    run(main())


def test_an_event_published_under_an_id_is_committed_in_a_durable_app() -> None:
    async def main() -> None:
        scene, heard = Scene(), []
        app = scene.app()

        @app.handler(Begin)
        async def begin(cmd: Begin, ctx: Context) -> str:
            ctx.publish(Begun())
            return ""

        @app.handler(Begun)
        async def begun(event: Begun, ctx: Context) -> None:
            heard.append(ctx._envelope is not None)

        async with scene.running(app):
            await scene.run(app.send(Begin(), id="ab" * 16))
            await scene.run(app.settled())
        assert heard == [True]

    run(main())


@pytest.mark.parametrize("durable", [False, True])
def test_a_message_after_its_deadline_is_not_handled(durable: bool) -> None:
    async def main() -> None:
        scene, seen = Scene(), Seen()
        app = with_handlers(scene.app(), seen)
        app.store = app.store if durable else None

        @app.handler(Other)
        async def slow(cmd: Other, ctx: Context) -> str:
            await sleep(scene.clock, 2.0)
            return await ctx.send(Step())

        async with scene.running(app):
            with pytest.raises(DeadlineExceeded):
                await scene.run(app.send(Other(), headers=Headers(within=1.0)))
        assert seen == {}

    run(main())


class Other(Command[str]):
    pass


def test_the_correlation_of_a_grandchild_is_that_of_the_first() -> None:
    def envelope(number: int, ext: bytes | None) -> Envelope:
        return Envelope(bytes([number] * 16), "T", 1, 4, 0, 0, 0, None, ext)

    first = envelope(1, None)
    child = envelope(2, first.ext_of_followers())
    grandchild = envelope(3, child.ext_of_followers())
    last = envelope(4, grandchild.ext_of_followers())
    assert child.ext == caused_by(first.id) == msgspec.msgpack.encode({"cause": "01" * 16})
    assert [each.correlation_id for each in (first, child, grandchild, last)] == ["01" * 16] * 4
    assert [each.causation_id for each in (first, child, grandchild, last)] == [None, "01" * 16, "02" * 16, "03" * 16]


@pytest.mark.parametrize(
    "ext", [b"\xff", b"\x81\xa1a\x01", msgspec.msgpack.encode({"a": "b" * MOST}), b"\x81\xa1\xff\xa1a"]
)
def test_headers_that_do_not_decode_are_typed(ext: bytes) -> None:
    with pytest.raises(BadHeaders, match="CTG-3014"):
        Envelope(bytes(16), "T", 1, 4, 0, 0, 0, None, ext).ext_of_followers()


@pytest.mark.parametrize(
    "wrong",
    [
        Headers(more={"tenant": "x"}),
        Headers(more={"a": "b" * MOST}),
        Headers(more={"a": 1}),  # type: ignore[dict-item]
        Headers(tenant=1),  # type: ignore[arg-type]
        Headers(within=0.0),
        Headers(within=-1.0),
        Headers(within=float("nan")),
    ],
)
def test_headers_that_cannot_be_used_are_refused(wrong: Headers) -> None:
    async def main() -> None:
        app = with_handlers(Catga("x", clock=VirtualClock()), {})
        async with app:
            with pytest.raises(InvalidArgument):
                await app.send(Step(), headers=wrong)

    asyncio.run(main())


def test_a_stranger_to_headers_pays_nothing() -> None:
    async def main() -> None:
        """Without headers the plan itself is called, and no envelope is made."""
        scene, seen = Scene(), Seen()
        app = with_handlers(scene.app(store=None), seen)
        async with scene.running(app):
            assert await scene.run(app.send(Step())) == "nobody"
            await scene.run(app.publish(Begun()))
        assert seen["step"]["cause"] is None
        assert seen["begun"]["correlation"] == seen["begun"]["id"]

    run(main())
