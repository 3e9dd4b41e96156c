"""Virtual time: exact, in order, and over only when everything has happened that it brings."""

import asyncio
import random
import time

import pytest

from catga.clock import Bell, sleep
from catga.testing import IdleLoop, PatientClock, VirtualClock, run


def test_timers_fire_in_order_and_at_their_time() -> None:
    async def main() -> list[tuple[str, float]]:
        clock = VirtualClock()
        seen: list[tuple[str, float]] = []
        for name, when in (("c", 3.0), ("a", 1.0), ("b", 3.0), ("now", 0.0), ("past", -1.0)):
            clock.call_at(when, lambda name=name: seen.append((name, clock.monotonic())))
        await clock.advance(2.0)
        assert seen == [("now", 0.0), ("past", 0.0), ("a", 1.0)]
        await clock.advance(1.0)
        return seen

    assert run(main())[3:] == [("c", 3.0), ("b", 3.0)]


def test_what_a_timer_brings_ends_before_the_next() -> None:
    async def main() -> list[str]:
        clock = VirtualClock()
        seen: list[str] = []

        async def long(name: str) -> None:
            for _ in range(50):
                await asyncio.sleep(0)
            await asyncio.to_thread(time.sleep, 0.01)
            seen.append(name)

        tasks: list[asyncio.Task[None]] = []
        clock.call_at(1.0, lambda: tasks.append(asyncio.ensure_future(long("first"))))
        clock.call_at(1.1, lambda: seen.append("second"))
        await clock.advance(5.0)
        return seen

    assert run(main()) == ["first", "second"]


def test_a_timer_set_by_a_timer_is_in_time() -> None:
    async def main() -> list[float]:
        clock = VirtualClock()
        seen: list[float] = []

        async def tick() -> None:
            for _ in range(10):
                await sleep(clock, 0.1)
                seen.append(clock.monotonic())

        task = asyncio.ensure_future(tick())
        await clock.advance(1.0)
        assert task.done()
        return seen

    # Tenths do not add up in binary: whole nanoseconds do.
    assert run(main()) == pytest.approx([n / 10 for n in range(1, 11)], abs=1e-9)


def test_cancelled_timers_do_not_fire() -> None:
    async def main() -> None:
        clock = VirtualClock()
        seen: list[int] = []
        timers = [clock.call_at(float(n), lambda n=n: seen.append(n)) for n in range(5)]
        timers[0].cancel()
        timers[2].cancel()
        timers[2].cancel()
        await clock.advance(10.0)
        timers[3].cancel()
        assert seen == [1, 3, 4]

    run(main())


def test_wall_and_monotonic() -> None:
    async def main() -> None:
        clock = VirtualClock(wall_ms=1000)
        assert (clock.wall_ms(), clock.monotonic()) == (1000, 0.0)
        await clock.advance(1.5)
        assert (clock.wall_ms(), clock.monotonic()) == (2500, 1.5)
        clock.step(-2.0)
        assert (clock.wall_ms(), clock.monotonic()) == (500, 1.5)

    run(main())


def test_run_jumps_from_timer_to_timer() -> None:
    async def main() -> None:
        clock = VirtualClock()
        bell = Bell(clock)
        before = time.monotonic()
        assert await clock.run(bell.wait(86_400.0), most=1e6) is False
        assert clock.monotonic() == 86_400.0
        assert time.monotonic() - before < 5

    run(main())


def test_run_gives_up_and_leaves_nothing_behind() -> None:
    async def main() -> None:
        clock = VirtualClock()
        with pytest.raises(TimeoutError, match="virtual seconds"):
            await clock.run(sleep(clock, 3.0), most=2.0)
        with pytest.raises(TimeoutError, match="no timer"):
            await clock.run(asyncio.get_running_loop().create_future())
        assert len(asyncio.all_tasks()) == 1
        with pytest.raises(LookupError):
            await clock.run(_raises())

    run(main())


async def _raises() -> None:
    raise LookupError


@pytest.mark.parametrize("start", [run, asyncio.run])
def test_the_same_seed_gives_the_same_story(start: object) -> None:
    def story() -> list[str]:
        async def main() -> list[str]:
            clock, chance, seen = VirtualClock(), random.Random(5), list[str]()

            async def worker(name: int) -> None:
                for turn in range(20):
                    await sleep(clock, chance.choice([0.0, 0.1, 0.1, 0.5]))
                    seen.append(f"{clock.wall_ms()} {name} {turn}")

            await clock.run(asyncio.gather(*(worker(n) for n in range(10))))
            return seen

        return start(main())  # type: ignore[operator]

    first = story()
    assert len(first) == 200
    assert story() == first


def test_idle_waits_for_threads_but_not_for_ever() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, IdleLoop)
        done: list[int] = []
        quick = loop.run_in_executor(None, lambda: (time.sleep(0.05), done.append(1)))
        await loop.idle()
        assert done == [1]
        await quick
        stop = asyncio.Event()
        stuck = loop.run_in_executor(None, time.sleep, 1.0)
        before = time.monotonic()
        await loop.idle()
        assert time.monotonic() - before < 0.9
        stop.set()
        await stuck

    run(main())


def test_two_may_wait_for_idleness() -> None:
    async def main() -> None:
        clock = VirtualClock()
        await asyncio.wait_for(asyncio.gather(clock.settle(), clock.settle(), clock.advance(1.0)), 5)

    run(main())


def test_the_patient_clock_waits() -> None:
    async def main() -> None:
        clock = PatientClock()
        before = time.monotonic()
        await clock.advance(0.05)
        await clock.settle()
        assert await clock.run(Bell(clock).wait(0.02)) is False
        assert time.monotonic() - before >= 0.07
        with pytest.raises(TimeoutError):
            await clock.run(Bell(clock).wait(10.0), most=0.05)

    asyncio.run(main())


def test_a_wait_for_less_than_a_nanosecond_ends() -> None:
    async def main() -> int:
        clock = VirtualClock()
        await clock.advance(10.3)
        until, rounds = 10.3 + 1e-12, 0
        while (left := until - clock.monotonic()) > 0 and rounds < 10:
            rounds += 1
            await clock.run(sleep(clock, left))
        return rounds

    assert run(main()) == 1
