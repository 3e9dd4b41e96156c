"""A NATS that cannot be had when the app starts: it is said within the timeout, and nothing is left behind."""

import asyncio
import socket
from collections.abc import Iterator

import pytest
from nats.aio.client import Client

from catga.backends.nats import NatsOptions
from catga.backends.nats.link import Link
from catga.errors import TransportUnavailable
from catga.testing import run
from catga.testing.servers import Nats


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"nats://127.0.0.1:{listening.getsockname()[1]}"


def refused(url: str) -> TransportUnavailable:
    async def main() -> TransportUnavailable:
        with pytest.raises(TransportUnavailable) as raised:
            await Link(NatsOptions.parse(f"{url}?timeout=0.5")).open()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return raised.value

    return run(main())


def test_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    error = refused(f"nats://127.0.0.1:{port}")
    assert (str(port) in error.where, "Connect call failed" in error.why, bool(error.fix)) == (True, True, True)


def test_somebody_is_there_who_says_nothing(silent: str) -> None:
    assert refused(silent).fix


def test_a_driver_that_swallows_a_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    async def select(_: Client) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)

    monkeypatch.setattr(Client, "_select_next_server", select)
    assert refused("nats://127.0.0.1:1").fix


def test_a_wrong_password() -> None:
    with Nats(options=["--user", "somebody", "--pass", "secret"]) as own:
        error = refused(own.url.replace("//", "//somebody:other@"))
    assert "password" in error.why
    assert "other" not in str(error)


def test_whoever_starts_may_be_cancelled(silent: str) -> None:
    async def main() -> None:
        opening = asyncio.ensure_future(Link(NatsOptions.parse(silent)).open())
        for _ in range(100):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        assert opening.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())
