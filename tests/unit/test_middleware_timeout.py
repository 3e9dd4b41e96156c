"""Timeout: what asyncio.timeout promises, without its cost; a cancellation from outside always wins."""

import asyncio
import contextlib
import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from catga import Catga, Command, Context
from catga.errors import ConfigurationError, DeadlineExceeded
from catga.mediator.timers import Timers
from catga.middleware import Timeout


class Work(Command[str]):
    pass


Handler = Callable[[Work], Awaitable[Any]]


def app_with(handler: Handler, *layers: Any) -> Catga:
    app = Catga("timeout", middleware=layers)

    @app.handler(Work)
    async def work(command: Work) -> str:
        return await handler(command)  # type: ignore[no-any-return]

    return app


def run(handler: Handler, *layers: Any) -> Any:
    async def main() -> Any:
        async with app_with(handler, *layers) as app:
            return await app.send(Work())

    return asyncio.run(main())


async def at_once(_: Work) -> str:
    return "at once"


async def soon(_: Work) -> str:
    await asyncio.sleep(0.001)
    await asyncio.sleep(0)
    return "soon"


async def never(_: Work) -> str:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody sets it")


def test_a_handler_that_never_waits_arms_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Timers, "after", lambda *_: pytest.fail("a timer was armed"))
    assert run(at_once, Timeout(0.001)) == "at once"


def test_a_handler_that_waits_replies_and_leaves_no_timer() -> None:
    armed: list[Timers] = []
    after = Timers.after

    def noting(self: Timers, *args: Any) -> int:
        armed.append(self)
        return after(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Timers, "after", noting)
        assert run(soon, Timeout(5)) == "soon"
    assert [len(timers) for timers in armed] == [0]


def test_too_long_is_told_with_the_handler_and_the_seconds() -> None:
    with pytest.raises(DeadlineExceeded, match=r"the handler of Work took more than 0.01 s") as caught:
        run(never, Timeout(0.01))
    assert "test_middleware_timeout" in caught.value.where
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


def test_it_waits_the_seconds_it_was_given() -> None:
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        run(never, Timeout(0.05))
    assert time.monotonic() - start >= 0.05


def test_the_task_is_not_left_cancelled() -> None:
    async def main() -> None:
        async with app_with(never, Timeout(0.01)) as app:
            with pytest.raises(DeadlineExceeded):
                await app.send(Work())
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
            await asyncio.sleep(0.001)

    asyncio.run(main())


def test_the_handler_sees_the_cancellation_and_may_clean_up() -> None:
    seen: list[str] = []

    async def handler(_: Work) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.001)
            seen.append("cleaned")
            raise
        return ""

    with pytest.raises(DeadlineExceeded):
        run(handler, Timeout(0.01))
    assert seen == ["cleaned"]


def test_a_handler_that_swallows_the_cancellation_has_its_reply_delivered() -> None:
    async def handler(_: Work) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "swallowed"
        return ""

    async def main() -> None:
        async with app_with(handler, Timeout(0.01)) as app:
            assert await app.send(Work()) == "swallowed"
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0

    asyncio.run(main())


def test_an_exception_raised_on_the_way_out_stays_itself() -> None:
    async def handler(_: Work) -> str:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("own")

    async def main() -> None:
        async with app_with(handler, Timeout(0.01)) as app:
            with pytest.raises(ValueError, match="own"):
                await app.send(Work())
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0

    asyncio.run(main())


def test_a_failure_while_somebody_outside_asks_takes_nothing_of_the_asking_back() -> None:
    async def handler(_: Work) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ValueError("own") from None
        return ""

    async def main() -> None:
        asked: list[int] = []

        async def caller(app: Catga) -> None:
            with pytest.raises(ValueError, match="own"):
                await app.send(Work())
            task = asyncio.current_task()
            assert task is not None
            asked.append(task.cancelling())

        async with app_with(handler, Timeout(60)) as app:
            task = asyncio.create_task(caller(app))
            await asyncio.sleep(0.001)
            task.cancel()
            await task
        assert asked == [1]

    asyncio.run(main())


def test_a_failure_before_and_after_the_first_wait_stays_itself() -> None:
    async def before(_: Work) -> str:
        raise ValueError("before")

    async def after(_: Work) -> str:
        await asyncio.sleep(0)
        raise ValueError("after")

    with pytest.raises(ValueError, match="before"):
        run(before, Timeout(5))
    with pytest.raises(ValueError, match="after"):
        run(after, Timeout(5))


def test_a_cancellation_from_outside_stays_one() -> None:
    async def main() -> None:
        async with app_with(never, Timeout(5)) as app:
            task = asyncio.create_task(app.send(Work()))
            await asyncio.sleep(0.001)
            task.cancel("outside")
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()

    asyncio.run(main())


@pytest.mark.parametrize("outside_first", [True, False])
def test_outside_wins_in_either_order(outside_first: bool) -> None:
    """Both ask in one turn of the loop, before the handler runs again."""

    async def main() -> None:
        async with app_with(never, Timeout(60)) as app:
            expiries: list[Callable[[], Any]] = []
            after = Timers.after

            def keep(self: Timers, seconds: float, call: Callable[[], Any]) -> int:
                expiries.append(call)
                return after(self, seconds, call)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Timers, "after", keep)
                task = asyncio.create_task(app.send(Work()))
                await asyncio.sleep(0)
            both = [task.cancel, expiries[0]]
            for ask in both if outside_first else reversed(both):
                ask()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()
            assert task.cancelling() == 1

    asyncio.run(main())


def test_expiry_counts_only_what_was_asked_since() -> None:
    """In a task that was asked to end before, as in its clean-up, an expiry is still told as one."""

    async def main() -> None:
        async with app_with(never, Timeout(0.01)) as app:

            async def cleaning_up() -> str:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    with pytest.raises(DeadlineExceeded):
                        await app.send(Work())
                    return "cleaned"
                return ""

            task = asyncio.create_task(cleaning_up())
            await asyncio.sleep(0.001)
            task.cancel()
            assert await task == "cleaned"

    asyncio.run(main())


@pytest.mark.parametrize(("outer", "inner"), [(0.01, 5.0), (5.0, 0.01)])
def test_nested_the_shorter_one_ends_it(outer: float, inner: float) -> None:
    with pytest.raises(DeadlineExceeded, match=r"took more than 0\.01 s"):
        run(never, Timeout(outer), Timeout(inner))


def test_nested_both_at_once_leave_the_task_clean() -> None:
    async def main() -> None:
        async with app_with(never, Timeout(60), Timeout(60)) as app:
            expiries: list[Callable[[], Any]] = []
            after = Timers.after

            def keep(self: Timers, seconds: float, call: Callable[[], Any]) -> int:
                expiries.append(call)
                return after(self, seconds, call)

            async def send() -> int:
                with pytest.raises(DeadlineExceeded):
                    await app.send(Work())
                task = asyncio.current_task()
                assert task is not None
                return task.cancelling()

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Timers, "after", keep)
                task = asyncio.create_task(send())
                await asyncio.sleep(0)
            assert len(expiries) == 2
            for expire in expiries:
                expire()
            assert await task == 0

    asyncio.run(main())


def test_inside_asyncio_timeout_and_around_it() -> None:
    async def inner_times_out(_: Work) -> str:
        try:
            async with asyncio.timeout(0.005):
                await asyncio.sleep(60)
        except TimeoutError as error:
            return type(error).__name__
        return ""

    assert run(inner_times_out, Timeout(5)) == "TimeoutError"

    async def main() -> None:
        async with app_with(never, Timeout(5)) as app:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.005):
                    await app.send(Work())
            assert not isinstance(caught.value, DeadlineExceeded)

    asyncio.run(main())


def test_one_app_in_two_loops_one_after_the_other() -> None:
    """The first loop is left with a timer armed; the second must not wait for it."""
    app = app_with(never, Timeout(0.02))

    async def left_early() -> None:
        async with app:
            task = asyncio.create_task(app.send(Work()))
            await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.wait([task])

    async def expires() -> None:
        async with app:
            with pytest.raises(DeadlineExceeded):
                await asyncio.wait_for(app.send(Work()), 5)

    asyncio.run(left_early())
    asyncio.run(expires())


def test_many_at_once_each_has_its_own_time() -> None:
    async def main() -> None:
        async with app_with(never, Timeout(0.01)) as app:
            ended = await asyncio.gather(*(app.send(Work()) for _ in range(100)), return_exceptions=True)
            assert {type(error) for error in ended} == {DeadlineExceeded}

    used: set[int] = set()
    after = Timers.after

    def noting(self: Timers, *args: Any) -> int:
        used.add(id(self))
        return after(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Timers, "after", noting)
        asyncio.run(main())
    assert len(used) == 1


def test_what_is_closed_before_its_end_closes_the_handler() -> None:
    closed: list[str] = []

    async def handler(_: Work) -> str:
        try:
            await asyncio.sleep(60)
        finally:
            closed.append("closed")
        return ""

    async def main() -> None:
        async with app_with(handler, Timeout(5)) as app:

            async def drive() -> None:
                coroutine = app.send(Work())
                coroutine.send(None)
                coroutine.close()

            await drive()

    asyncio.run(main())
    assert closed == ["closed"]


def test_a_handler_that_will_not_be_closed_is_told_to_whoever_closes() -> None:
    async def handler(_: Work) -> str:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(60)
        return ""

    async def main() -> None:
        async with app_with(handler, Timeout(5)) as app:
            coroutine = app.send(Work())
            coroutine.send(None)
            with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
                coroutine.close()

    asyncio.run(main())


def test_without_a_task_it_says_so() -> None:
    class Wait:
        def __await__(self) -> Any:
            yield None

    async def main() -> Catga:
        app = Catga("timeout", middleware=(Timeout(5),))

        @app.handler(Work)
        async def work(command: Work) -> str:
            await Wait()
            return ""

        await app.start()
        return app

    app = asyncio.run(main())
    coroutine = app.send(Work())
    with pytest.raises(RuntimeError):
        coroutine.send(None)


def test_an_expiry_leaves_no_cycle_behind() -> None:
    async def main() -> None:
        async with app_with(never, Timeout(0.01)) as app:
            with pytest.raises(DeadlineExceeded):
                await app.send(Work())
            gc.collect()
            gc.disable()
            try:
                before = len([found for found in gc.get_objects() if isinstance(found, DeadlineExceeded)])
                with contextlib.suppress(DeadlineExceeded):
                    await app.send(Work())
                after = len([found for found in gc.get_objects() if isinstance(found, DeadlineExceeded)])
                assert after == before
            finally:
                gc.enable()

    asyncio.run(main())


def test_the_context_reaches_the_handler() -> None:
    app = Catga("timeout", middleware=(Timeout(5),))

    @app.handler(Work)
    async def work(command: Work, ctx: Context) -> str:
        await asyncio.sleep(0)
        return str(ctx.attempt)

    async def main() -> str:
        async with app:
            return await app.send(Work())

    assert asyncio.run(main()) == "1"


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_no_time_at_all_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigurationError):
        Timeout(seconds)
