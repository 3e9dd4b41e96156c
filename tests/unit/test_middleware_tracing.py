"""Tracing: who is sampled, whose trace a span belongs to, and that the others cost no span."""

import asyncio
import random
from typing import Any

import msgspec
import pytest
from tests.unit.scene import Scene

from catga import Catga, Command, Context, Event, Retry
from catga.envelope import Envelope
from catga.errors import ConfigurationError
from catga.mediator.builtin.tracing import parse
from catga.middleware import Span, Tracing
from catga.testing import run

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Work(Command[int]):
    fails: bool = False


def app_of() -> Catga:
    app = Catga("traced")

    @app.handler(Work, id="work")
    async def work(cmd: Work) -> int:
        return 1

    return app


def handle(layer: Tracing, ctx: Context, error: BaseException | None = None) -> Any:
    async def inner(message: Any, _: Context) -> int:
        await asyncio.sleep(0)
        if error is not None:
            raise error
        return 1

    ((handler, _),) = app_of().registrations()
    return asyncio.run(layer.compose(inner, handler)(Work(), ctx))


def context(header: str | None = None) -> Context:
    app = app_of()
    if header is None:
        return Context(app)
    ext = msgspec.msgpack.encode({"traceparent": header})
    return Context(app, _envelope=Envelope(b"", "Work", 1, 4, 0, 0, 0, None, ext))


def test_a_span_says_who_when_and_how_long() -> None:
    spans: list[Span] = []
    assert handle(Tracing(spans.append, rate=1), context()) == 1
    (span,) = spans
    assert (span.name, span.handler, span.parent_id, span.attempt, span.error) == ("Work", "work", "", 1, None)
    assert len(span.trace_id) == 32
    assert len(span.span_id) == 16
    assert 0 < span.seconds < 10
    assert span.start_ms > 1_700_000_000_000
    assert parse(span.traceparent) == (span.trace_id, span.span_id, True)


def test_a_sampled_sender_is_followed_whatever_the_rate() -> None:
    spans: list[Span] = []
    handle(Tracing(spans.append, rate=0), context(f"00-{TRACE}-{PARENT}-01"))
    (span,) = spans
    assert (span.trace_id, span.parent_id) == (TRACE, PARENT)
    assert span.span_id != PARENT


def test_an_unsampled_sender_is_followed_whatever_the_rate() -> None:
    spans: list[Span] = []
    assert handle(Tracing(spans.append, rate=1), context(f"00-{TRACE}-{PARENT}-00")) == 1
    assert spans == []


def test_a_malformed_header_is_as_good_as_none() -> None:
    spans: list[Span] = []
    handle(Tracing(spans.append, rate=1), context("nonsense"))
    assert spans[0].parent_id == ""
    assert spans[0].trace_id != TRACE
    handle(Tracing(lambda _: pytest.fail("was sampled"), rate=0), context("nonsense"))


def test_about_as_many_are_sampled_as_the_rate_says() -> None:
    spans: list[Span] = []

    async def inner(message: Any, ctx: Context) -> int:
        return 1

    async def main() -> None:
        ((handler, _),) = app_of().registrations()
        call = Tracing(spans.append, rate=0.1, entropy=random.Random(1)).compose(inner, handler)
        app = app_of()
        for _ in range(5000):
            await call(Work(), Context(app))

    asyncio.run(main())
    assert 400 < len(spans) < 600
    assert len({span.trace_id for span in spans}) == len(spans)


@pytest.mark.parametrize("error", [ValueError("x"), asyncio.CancelledError()])
def test_a_failure_is_in_its_span_and_stays_itself(error: BaseException) -> None:
    spans: list[Span] = []
    with pytest.raises(type(error)):
        handle(Tracing(spans.append, rate=1), context(), error)
    assert spans[0].error is error


def test_a_hook_that_fails_fails_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def hook(span: Span) -> None:
        raise RuntimeError("exporter down")

    assert handle(Tracing(hook, rate=1), context()) == 1
    with pytest.raises(KeyError):
        handle(Tracing(hook, rate=1), context(), KeyError())
    assert [record.name for record in caplog.records] == ["catga.tracing"] * 2


def test_an_id_is_never_all_zeros() -> None:
    class Zero(random.Random):
        def getrandbits(self, k: int, /) -> int:
            return 0

    spans: list[Span] = []
    handle(Tracing(spans.append, rate=1, entropy=Zero()), context())
    assert (int(spans[0].trace_id, 16), int(spans[0].span_id, 16)) == (1, 1)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{TRACE}-{PARENT}",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-extra",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}0-{PARENT}-01",
        f"00-{TRACE}-{PARENT}0-01",
        f"00-{TRACE}-{PARENT}-011",
        f"000-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}g-01",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-0x",
        f"0-{TRACE}-{PARENT}-01",
    ],
)
def test_what_w3c_calls_malformed(header: str) -> None:
    assert parse(header) is None


def test_what_w3c_calls_well_formed() -> None:
    assert parse(f"00-{TRACE}-{PARENT}-03") == (TRACE, PARENT, True)
    assert parse(f"00-{TRACE}-{PARENT}-02") == (TRACE, PARENT, False)
    assert parse(f"00-{TRACE}-{PARENT}-10") == (TRACE, PARENT, False)
    assert parse(f"00-{TRACE}-{PARENT}-ff") == (TRACE, PARENT, True)
    assert parse(f"cc-{TRACE}-{PARENT}-01-what-the-future-brings") == (TRACE, PARENT, True)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_that_is_no_probability_is_refused(rate: float) -> None:
    with pytest.raises(ConfigurationError):
        Tracing(print, rate=rate)


def test_how_long_it_took_is_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([7.0, 9.5])
    ctx = context()
    monkeypatch.setattr(ctx._app.clock, "monotonic", lambda: next(times), raising=False)
    spans: list[Span] = []
    handle(Tracing(spans.append, rate=1), ctx)
    assert spans[0].seconds == 2.5


class Fixed:
    """Chance that is always the same."""

    def __init__(self, value: float, bits: int = 1) -> None:
        self.value = value
        self.bits = bits
        self.asked: list[int] = []

    def random(self) -> float:
        return self.value

    def getrandbits(self, k: int, /) -> int:
        self.asked.append(k)
        return self.bits


@pytest.mark.parametrize(("rate", "chance", "sampled"), [(0, 0.0, False), (0.5, 0.5, False), (0.5, 0.499, True)])
def test_as_many_as_the_rate_and_no_more(rate: float, chance: float, sampled: bool) -> None:
    spans: list[Span] = []
    handle(Tracing(spans.append, rate=rate, entropy=Fixed(chance)), context())
    assert bool(spans) is sampled


def test_ids_have_their_length_whatever_chance_gives() -> None:
    spans: list[Span] = []
    chance = Fixed(0.0, 0xAB)
    handle(Tracing(spans.append, rate=1, entropy=chance), context())
    assert (spans[0].trace_id, spans[0].span_id) == ("0" * 30 + "ab", "0" * 14 + "ab")
    assert chance.asked == [128, 64]


def test_one_in_a_hundred_unless_told_otherwise() -> None:
    spans: list[Span] = []
    handle(Tracing(spans.append, entropy=Fixed(0.01)), context())
    assert spans == []
    handle(Tracing(spans.append, entropy=Fixed(0.0099)), context())
    assert len(spans) == 1


class Asked(Command[int]):
    pass


class Told(Event):
    pass


@pytest.mark.parametrize("immediate", [0, 1])
def test_what_a_sampled_handler_sends_and_publishes_belongs_to_its_span(immediate: int) -> None:
    spans: list[Span] = []

    async def main() -> None:
        scene = Scene()
        app = scene.app(middleware=(Tracing(spans.append, rate=1),))

        @app.handler(Asked)
        async def asked(cmd: Asked) -> int:
            return 1

        @app.handler(Told)
        async def told(event: Told) -> None:
            pass

        @app.handler(Work, retry=Retry(immediate=immediate))
        async def work(cmd: Work, ctx: Context) -> int:
            if ctx.attempt == 1:
                raise ValueError
            ctx.publish(Told())
            return await ctx.send(Asked())

        async with scene.running(app):
            await scene.run(app.enqueue(Work()))
            await scene.run(app.settled())

    run(main())
    first, inner, second, heard = spans
    assert [span.name for span in spans] == ["Work", "Asked", "Work", "Told"]
    assert first.parent_id == second.parent_id == ""
    assert all(parse(span.traceparent) == (span.trace_id, span.span_id, True) for span in spans)
    assert inner.parent_id == heard.parent_id == second.span_id
    assert inner.trace_id == heard.trace_id == second.trace_id != first.trace_id
