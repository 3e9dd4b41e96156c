"""Dead letters of a real store: looked at, replayed, purged."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from catga import Catga, Command, Retry
from catga.clock import SystemClock
from catga.deadletters import DeadLetters
from catga.deadletters.letters import PAGE
from catga.errors import InvalidArgument
from catga.ports.store import Parked, ParkedState, Unit
from catga.testing import VirtualClock
from catga.testing import run as virtual_run


class Work(Command, key="name"):
    name: str


class Later(Command):
    pass


def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/letters.db?lease=1"


def failing(store: str, done: list[str], *, mended: bool, **options: Any) -> Catga:
    app = Catga("work", store=store, retry=Retry(delayed=0))

    @app.handler(Work, id="worker", **options)
    async def work(cmd: Work) -> None:
        if not mended:
            raise ValueError(f"cannot do {cmd.name}")
        done.append(cmd.name)

    return app


async def until(found: Any) -> None:
    async with asyncio.timeout(30):
        while not found():  # noqa: ASYNC110 - what is asked tells nobody when it changes
            await asyncio.sleep(0.005)


async def die(store: str, names: list[str]) -> None:
    async with (app := failing(store, [], mended=False)):
        for name in names:
            await app.enqueue(Work(name))
        await until(lambda: app.statistics()["dead"] == len(names))


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def row(number: int, handler: str = "worker", frame: bytes = b"no frame") -> Parked:
    return Parked(handler, number.to_bytes(16), "work", 0, None, ParkedState.DEAD, 0, frame)


def test_replay_runs_it_again_and_once(tmp_path: Path) -> None:
    async def story() -> None:
        done: list[str] = []
        await die(url(tmp_path), ["a", "b"])
        async with DeadLetters.open(url(tmp_path)) as letters:
            rows = await letters.newest()
            assert [each.reason for each in rows] == ["ValueError: cannot do b", "ValueError: cannot do a"]
            assert await letters.replay(rows[:1]) == 1
            # Twice is once: the row waits already, and only its handler's commit ends it.
            await letters.replay(rows[:1])
            assert len(await letters.newest()) == 1
        async with failing(url(tmp_path), done, mended=True):
            await until(lambda: done)
        async with DeadLetters.open(url(tmp_path)) as letters:
            assert await letters.replay(rows[:1]) == 0
        assert done == ["b"]

    run(story())


def test_replay_while_the_app_runs(tmp_path: Path) -> None:
    async def story() -> None:
        done: list[str] = []
        await die(url(tmp_path), ["a"])
        async with failing(url(tmp_path), done, mended=True), DeadLetters.open(url(tmp_path)) as letters:
            assert await letters.replay_all("worker") == 1
            await until(lambda: done == ["a"])

    run(story())


def test_a_replay_starts_with_all_its_tries(tmp_path: Path) -> None:
    async def story() -> None:
        await die(url(tmp_path), ["a"])
        async with DeadLetters.open(url(tmp_path)) as letters:
            await letters.replay_all()
        async with (app := failing(url(tmp_path), [], mended=False)):
            await until(lambda: app.statistics()["dead"] == 1)
        async with DeadLetters.open(url(tmp_path)) as letters:
            (again,) = await letters.newest()
            assert again.failures == 1

    run(story())


def test_what_found_no_handler_goes_through_the_queue_again(tmp_path: Path) -> None:
    async def story() -> None:
        done: list[str] = []
        sender = Catga("work", store=url(tmp_path), messages=(Later,))
        await sender.start(work=False)
        await sender.enqueue(Later())
        await sender.stop()
        # An older instance, that handles the channel and does not know the message.
        async with failing(url(tmp_path), [], mended=True), DeadLetters.open(url(tmp_path)) as letters:
            while not (rows := await letters.newest()):  # noqa: ASYNC110 - nobody tells of a dead letter
                await asyncio.sleep(0.005)
        assert [each.handler for each in rows] == [""]
        newer = failing(url(tmp_path), done, mended=True)

        @newer.handler(Later)
        async def later(_: Later) -> None:
            done.append("later")

        async with DeadLetters.open(url(tmp_path)) as letters:
            assert await letters.replay_all() == 1
        async with newer:
            await until(lambda: done == ["later"])

    run(story())


def test_purge(tmp_path: Path) -> None:
    async def story() -> None:
        await die(url(tmp_path), ["a", "b"])
        async with DeadLetters.open(url(tmp_path)) as letters:
            first = (await letters.newest())[:1]
            assert await letters.purge(first) == 1
            assert await letters.purge(first) == 0
            assert await letters.purge_all("somebody else") == 0
            assert await letters.purge_all() == 1
            assert await letters.newest() == []

    run(story())


@pytest.mark.parametrize("count", [1, PAGE, PAGE * 2 + 7])
def test_all_means_all(tmp_path: Path, count: int) -> None:
    async def story() -> None:
        async with DeadLetters.open(url(tmp_path)) as letters:
            await letters._store.commit([Unit(park=[row(number) for number in range(count)])])
            assert await letters.replay_all() == count
            assert await letters.newest() == []

    run(story())


def test_what_dies_again_meanwhile_is_not_replayed_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with DeadLetters.open(url(tmp_path)) as letters:
            await letters._store.commit([Unit(park=[row(number) for number in range(PAGE * 2)])])

            def dies_again(dead: Parked) -> Unit:
                return Unit(unpark=[(dead.handler, dead.id)], park=[row(int.from_bytes(dead.id))])

            monkeypatch.setattr(letters, "_again", dies_again)
            assert await letters.replay_all() == PAGE * 2

    run(story())


def test_find_by_the_beginning_of_an_id(tmp_path: Path) -> None:
    async def story() -> None:
        async with DeadLetters.open(url(tmp_path)) as letters:
            rows = [row(number << 64, handler) for number in range(PAGE * 2) for handler in ("a", "b")]
            await letters._store.commit([Unit(park=rows)])
            wanted = row(1 << 64)
            assert {each.handler for each in await letters.find(wanted.id.hex())} == {"a", "b"}
            assert len(await letters.find(wanted.id.hex(), "a")) == 1
            assert len(await letters.find("0000")) == len(rows)
            assert await letters.find("ff") == []

    run(story())


def test_bytes_that_are_no_frame_go_back_as_they_are(tmp_path: Path) -> None:
    async def story() -> None:
        async with DeadLetters.open(url(tmp_path)) as letters:
            await letters._store.commit([Unit(park=[row(1, "", b"garbage")])])
            assert await letters.replay_all() == 1
            assert await letters._store.fetch("select frame from catga_queue", ()) == [(b"garbage",)]

    run(story())


def test_a_store_that_is_open_stays_open(tmp_path: Path) -> None:
    async def story() -> None:
        from catga.backends import open_backend

        store = open_backend("store", url(tmp_path), SystemClock())
        async with failing(store, [], mended=True) as app:
            async with DeadLetters.open(store) as letters:
                assert await letters.newest() == []
            await app.enqueue(Work("a"))
            await until(lambda: app.statistics()["done"] == 1)

    run(story())


def check(number: int) -> None:
    raise ValueError(f"{number} is too much")


def test_groups_are_of_one_error_from_one_function(tmp_path: Path) -> None:
    app = Catga("work", store=url(tmp_path), retry=Retry(delayed=0))

    @app.handler(Work, id="worker")
    async def work(cmd: Work) -> None:
        if cmd.name.startswith("check"):
            # Other lines, and other texts, of one function.
            if len(cmd.name) % 2:
                check(1)
            check(2)
        if cmd.name.startswith("key"):
            raise KeyError(cmd.name)
        int(cmd.name)

    async def story() -> None:
        async with app:
            await app.enqueue_many([Work(name) for name in ("check", "check1", "check12", "key1", "key2", "one")])
            await until(lambda: app.statistics()["dead"] == 6)
        async with DeadLetters.open(url(tmp_path)) as letters:
            await letters._store.commit([Unit(park=[msgspec.structs.replace(row(1), reason="CTG-3001 no frame")])])
            groups = await letters.groups()
            assert [(group.count, group.type, group.place.rpartition(".")[2]) for group in groups][:2] == [
                (3, "ValueError", "test_deadletters:check"),
                (2, "KeyError", "work"),
            ]
            assert sorted(group.type for group in groups[2:]) == ["CTG-3001", "ValueError"]
            first = groups[0]
            assert (first.handlers, first.messages) == (("worker",), ("Work",))
            assert 0 < first.first_ms <= first.last_ms
            assert len({group.fingerprint for group in groups}) == 4
            assert await letters.replay_all(group=first.fingerprint) == 3
            assert await letters.purge_all(group=groups[1].fingerprint) == 2
            assert len(await letters.newest()) == 2

    run(story())


def test_a_replay_keeps_its_rate_and_tells_how_far_it_is(tmp_path: Path) -> None:
    told: list[tuple[int, float]] = []

    async def story() -> None:
        clock = VirtualClock()
        async with DeadLetters.open(url(tmp_path), clock=clock) as letters:
            await letters._store.commit([Unit(park=[row(number) for number in range(100)])])
            progress = lambda count: told.append((count, clock.monotonic()))  # noqa: E731
            assert await clock.run(letters.replay_all(rate=20.0, progress=progress)) == 100
            with pytest.raises(InvalidArgument, match="a rate of 0"):
                await letters.replay_all(rate=0)

    virtual_run(story())
    assert [count for count, _ in told] == list(range(5, 101, 5))
    assert told[-1][1] == pytest.approx(19 * 5 / 20.0)


def test_a_replay_that_was_cut_off_goes_on_where_it_was(tmp_path: Path) -> None:
    async def story() -> None:
        async with DeadLetters.open(url(tmp_path)) as letters:
            await letters._store.commit([Unit(park=[row(number) for number in range(PAGE * 3)])])
            first: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            task = asyncio.ensure_future(
                letters.replay_all(rate=1000.0, progress=lambda count: first.done() or first.set_result(count))
            )
            done = await first
            task.cancel()
            await asyncio.wait([task])
            left = len(await letters.newest(PAGE * 3))
            assert left <= PAGE * 3 - done
            assert await letters.replay_all() == left

    run(story())
