"""The committer: what is ready shares the next commit, in order, and each caller learns of its own."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from catga.delivery.committer import Committer
from catga.errors import AppClosed, StoreUnavailable
from catga.ports.store import COMMITTED, Commit, Outcome, Unit
from catga.testing import run


class Slow:
    """A store whose commits end when the test says so."""

    def __init__(self) -> None:
        self.groups: list[Sequence[Unit]] = []
        self.ends: list[asyncio.Future[None]] = []

    async def commit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        self.groups.append(units)
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ends.append(end)
        await end
        return [Outcome(Commit.DUPLICATE) if unit.park else COMMITTED for unit in units]


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def unit(duplicate: bool = False) -> Unit:
    return Unit(park=[None]) if duplicate else Unit()  # type: ignore[list-item]


def test_what_comes_meanwhile_forms_the_next_group() -> None:
    async def main() -> None:
        store = Slow()
        committer = Committer(store, lambda units: None)  # type: ignore[arg-type]
        first = asyncio.ensure_future(committer.submit([unit()]))
        await turns()
        rest = [asyncio.ensure_future(committer.submit([unit(n == 1), unit()])) for n in range(3)]
        await turns()
        assert [len(group) for group in store.groups] == [1]
        store.ends[0].set_result(None)
        assert await first == [COMMITTED]
        await turns()
        assert [len(group) for group in store.groups] == [1, 6]
        assert not any(each.done() for each in rest)
        store.ends[1].set_result(None)
        outcomes = await asyncio.gather(*rest)
        assert [[outcome.commit for outcome in each] for each in outcomes] == [
            [Commit.COMMITTED, Commit.COMMITTED],
            [Commit.DUPLICATE, Commit.COMMITTED],
            [Commit.COMMITTED, Commit.COMMITTED],
        ]
        # Idle again: the next one need not wait.
        last = asyncio.ensure_future(committer.submit([unit()]))
        await turns()
        store.ends[2].set_result(None)
        assert await last == [COMMITTED]
        await committer.close()

    run(main())


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([256, 256, 1], [512, 1]),
        ([512, 1], [512, 1]),
        ([511, 1, 1], [512, 1]),
        ([517, 1], [517, 1]),
        ([1, 512, 1], [1, 512, 1]),
        ([3, 510, 1], [3, 511]),
    ],
)
def test_a_group_is_bounded_and_a_list_is_never_parted(sizes: list[int], groups: list[int]) -> None:
    async def main() -> None:
        store = Slow()
        committer = Committer(store, lambda units: None)  # type: ignore[arg-type]
        busy = asyncio.ensure_future(committer.submit([unit()]))
        await turns()
        waiting = [asyncio.ensure_future(committer.submit([unit()] * size)) for size in sizes]
        await turns()
        while not all(each.done() for each in (busy, *waiting)):
            store.ends[-1].set_result(None)
            await turns()
        assert [len(group) for group in store.groups] == [1, *groups]
        assert [len(await each) for each in waiting] == sizes

    run(main())


def test_a_commit_that_fails_is_told_to_all_it_was_for_and_to_nobody_else() -> None:
    async def main() -> None:
        store = Slow()
        committer = Committer(store, lambda units: None)  # type: ignore[arg-type]
        first = asyncio.ensure_future(committer.submit([unit()]))
        await turns()
        second, third = (asyncio.ensure_future(committer.submit([unit()])) for _ in range(2))
        await turns()
        store.ends[0].set_result(None)
        await turns()
        fourth = asyncio.ensure_future(committer.submit([unit()]))
        second.cancel()
        await turns()
        store.ends[1].set_exception(StoreUnavailable("away"))
        await turns()
        store.ends[2].set_result(None)
        found: Any = await asyncio.gather(first, second, third, fourth, return_exceptions=True)
        assert found[0] == [COMMITTED]
        assert isinstance(found[1], asyncio.CancelledError)
        assert isinstance(found[2], StoreUnavailable)
        assert found[3] == [COMMITTED]

    run(main())


def test_who_is_cancelled_takes_nothing_back_and_holds_up_nobody() -> None:
    async def main() -> None:
        store = Slow()
        committer = Committer(store, lambda units: None)  # type: ignore[arg-type]
        first, second = (asyncio.ensure_future(committer.submit([unit(n == 1)])) for n in range(2))
        await turns()
        assert [len(group) for group in store.groups] == [2]
        first.cancel()
        await turns()
        store.ends[0].set_result(None)
        assert [outcome.commit for outcome in await second] == [Commit.DUPLICATE]

    run(main())


def test_closing_commits_what_was_submitted_and_refuses_the_rest() -> None:
    async def main() -> None:
        store = Slow()
        committer = Committer(store, lambda units: None)  # type: ignore[arg-type]
        first = asyncio.ensure_future(committer.submit([unit()]))
        await turns()
        second = asyncio.ensure_future(committer.submit([unit()]))
        await turns()
        closing = asyncio.ensure_future(committer.close())
        await turns()
        with pytest.raises(AppClosed):
            await committer.submit([unit()])
        store.ends[0].set_result(None)
        await turns()
        assert not closing.done()
        store.ends[1].set_result(None)
        await closing
        assert first.done()
        assert second.done()
        await Committer(store, lambda units: None).close()  # type: ignore[arg-type]

    run(main())


def test_what_ends_the_task_is_told_to_all_that_wait() -> None:
    class Ends(Slow):
        async def commit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
            raise asyncio.CancelledError

    async def main() -> None:
        committer = Committer(Ends(), lambda units: None)  # type: ignore[arg-type]
        with pytest.raises(asyncio.CancelledError):
            await committer.submit([unit()])

    run(main())
