"""Publishing inside one process: every handler hears it, in order or beside the others, and every failure is told."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from catga import Catga, Event
from catga.clock import sleep
from catga.mediator.events import fan_out
from catga.testing import VirtualClock, run


class Told(Event):
    number: int = 0


class Stage:
    """An app under virtual time whose handlers note when they begin and end."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.app = Catga("events", clock=self.clock)
        self.log: list[tuple[str, float]] = []

    def hears(
        self, name: str, takes: float = 0.0, concurrent: bool = False, error: BaseException | None = None
    ) -> None:
        @self.app.handler(Told, id=name, concurrent=concurrent)
        async def hear(event: Told) -> None:
            self.log.append((f"{name} begins", self.clock.monotonic()))
            try:
                if takes:
                    await sleep(self.clock, takes)
            except asyncio.CancelledError:
                self.log.append((f"{name} cancelled", self.clock.monotonic()))
                raise
            if error is not None:
                raise error
            self.log.append((f"{name} ends", self.clock.monotonic()))

    def told(self, then: Callable[[], Awaitable[None]] | None = None) -> None:
        async def main() -> None:
            await self.clock.run(self.app.start())
            try:
                if then is not None:
                    await then()
                else:
                    await self.clock.run(self.app.publish(Told()))
            finally:
                await self.clock.run(self.app.stop())

        run(main())


def test_one_after_the_other_and_the_concurrent_ones_beside() -> None:
    stage = Stage()
    stage.hears("first", 1.0)
    stage.hears("beside", 1.5, concurrent=True)
    stage.hears("second", 1.0)
    stage.hears("also beside", 5.0, concurrent=True)
    stage.told()
    assert stage.log == [
        ("first begins", 0.0),
        ("beside begins", 0.0),
        ("also beside begins", 0.0),
        ("first ends", 1.0),
        ("second begins", 1.0),
        ("beside ends", 1.5),
        ("second ends", 2.0),
        ("also beside ends", 5.0),
    ]


def test_all_failures_are_told_together_in_order() -> None:
    stage = Stage()
    stage.hears("first", error=ValueError("first"))
    stage.hears("beside", 1.0, concurrent=True, error=ValueError("beside"))
    stage.hears("second", 2.0)
    stage.hears("third", error=ValueError("third"))
    with pytest.raises(ExceptionGroup) as caught:
        stage.told()
    assert caught.value.message == "3 of 4 handlers of Told failed"
    assert [str(error) for error in caught.value.exceptions] == ["first", "third", "beside"]
    assert ("second ends", 2.0) in stage.log


def test_the_only_handler_is_called_as_it_is() -> None:
    async def only(event: Told) -> None:
        raise LookupError

    assert fan_out("Told", [only], []) is only
    stage = Stage()
    stage.hears("only", error=LookupError("as it is"))
    with pytest.raises(LookupError, match="as it is"):
        stage.told()


def test_the_only_handler_beside_is_still_told_of_in_a_group() -> None:
    stage = Stage()
    stage.hears("only", concurrent=True, error=LookupError())
    with pytest.raises(ExceptionGroup, match="1 of 1 handlers of Told failed"):
        stage.told()


@pytest.mark.parametrize("at", [0.5, 1.5])
def test_who_publishes_and_is_cancelled_cancels_what_runs(at: float) -> None:
    stage = Stage()
    stage.hears("first", 1.0)
    stage.hears("beside", 3.0, concurrent=True)

    async def story() -> None:
        publishing = asyncio.ensure_future(stage.app.publish(Told()))
        await stage.clock.advance(at)
        publishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publishing
        await stage.clock.settle()

    stage.told(story)
    assert ("beside cancelled", at) in stage.log
    assert (("first cancelled", at) in stage.log) is (at < 1.0)


def test_a_handler_beside_that_is_cancelled_by_itself_ends_the_publishing() -> None:
    stage = Stage()
    stage.hears("broken", concurrent=True, error=asyncio.CancelledError())
    stage.hears("beside", 3.0, concurrent=True)

    async def story() -> None:
        with pytest.raises(asyncio.CancelledError):
            await stage.clock.run(stage.app.publish(Told()))

    stage.told(story)


def test_nobody_need_listen() -> None:
    stage = Stage()
    stage.told()
    assert stage.log == []
