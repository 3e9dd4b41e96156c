"""Logging: one line a failure, one a success where asked and enabled, and never a value."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from catga import Catga, Command, Context
from catga.errors import ValidationFailed
from catga.mediator.builtin.logging import _describe
from catga.middleware import Logging
from catga.testing import VirtualClock

SECRET = "hunter2"


class Login(Command[str]):
    password: str
    outcome: str = "ok"


def send(layer: Logging, *messages: Login, times: Iterator[float] | None = None) -> None:
    clock = VirtualClock()
    app = Catga("log", middleware=(layer,), clock=clock)

    @app.handler(Login, id="login")
    async def login(cmd: Login) -> str:
        if cmd.outcome == "fail":
            raise ValueError(f"wrong password {cmd.password}")
        if cmd.outcome == "invalid":
            raise ValidationFailed(f"bad {cmd.password}")
        if cmd.outcome == "wait":
            await asyncio.sleep(60)
        return cmd.password

    async def main() -> None:
        async with app:
            if times is not None:
                clock.monotonic = times.__next__  # type: ignore[method-assign]
            for message in messages:
                task = asyncio.create_task(app.send(message))
                await asyncio.sleep(0)
                if message.outcome == "wait":
                    task.cancel()
                await asyncio.wait([task])
                if not task.cancelled():
                    task.exception()

    asyncio.run(main())


def test_a_failure_is_one_line_without_values(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    send(Logging(), Login(SECRET, "fail"), Login(SECRET, "invalid"))
    records = [record for record in caplog.records if record.name == "catga.handlers"]
    assert [record.levelno for record in records] == [logging.ERROR] * 2
    first, second = (record.getMessage() for record in records)
    assert "Login in login failed: ValueError at " in first
    assert "test_middleware_logging.py" in first
    assert " in login (attempt 1, " in first
    assert "[CTG-2004] ValidationFailed" in second
    for record in records:
        assert SECRET not in caplog.handler.format(record)
        assert "\n" not in record.getMessage()


def test_successes_are_told_only_where_asked_and_enabled(caplog: pytest.LogCaptureFixture) -> None:
    def told(layer: Logging, level: int) -> list[str]:
        caplog.clear()
        caplog.set_level(level)
        send(layer, Login(SECRET))
        return [record.getMessage() for record in caplog.records if record.name == "catga.handlers"]

    assert told(Logging(), logging.DEBUG) == []
    assert told(Logging(successes=True), logging.INFO) == []
    (line,) = told(Logging(successes=True), logging.DEBUG)
    assert line.startswith("Login in login succeeded (attempt 1, ")
    assert SECRET not in line


def test_a_cancellation_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    send(Logging(successes=True), Login(SECRET, "wait"))
    assert [record for record in caplog.records if record.name == "catga.handlers"] == []


def test_the_messages_id_and_the_logger_given(caplog: pytest.LogCaptureFixture) -> None:
    async def inner(message: object, ctx: Context) -> None:
        raise KeyError

    app = Catga("log")

    @app.handler(Login, id="login")
    async def login(cmd: Login) -> str:
        return ""

    ((handler, _),) = app.registrations()
    call = Logging(logging.getLogger("mine")).compose(inner, handler)
    with pytest.raises(KeyError):
        asyncio.run(call(Login(""), Context(app, attempt=3, _id=bytes(16))))
    (record,) = caplog.records
    assert record.name == "mine"
    assert f"message {bytes(16).hex()}, attempt 3" in record.getMessage()


def test_how_long_it_took_is_told_in_ms(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    times = iter([10.0, 10.25, 20.0, 20.0005, 30.0])
    send(Logging(successes=True), Login(SECRET, "fail"), Login(SECRET), times=times)
    failed, succeeded = (record.getMessage() for record in caplog.records if record.name == "catga.handlers")
    assert failed.endswith("(attempt 1, 250.0 ms)")
    assert succeeded.endswith("(attempt 1, 0.5 ms)")


def test_where_it_was_raised_is_the_innermost_place() -> None:
    def inner() -> None:
        raise KeyError

    try:
        inner()
    except KeyError as error:
        described = _describe(error)
        assert described.endswith(f":{inner.__code__.co_firstlineno + 1} in inner")
    assert _describe(ValueError("never raised")) == "ValueError"
