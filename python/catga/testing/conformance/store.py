"""The commit: all of a unit or nothing of it, and its neighbours unharmed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from catga.errors import CatgaError
from catga.ports import Commit, Lease, ParkedState, Store, Unit
from catga.testing.clock import SteeredClock
from catga.testing.conformance.base import (
    CHANNEL,
    HANDLER,
    Conformance,
    HoldCommit,
    MakeStore,
    Stores,
    bad,
    committed,
    fates,
    id_of,
    lease_on,
    mark,
    marked,
    message,
    numbers,
    parked,
    rounds,
)
from catga.testing.loop import run

STEPS = (*range(12), 16, 24, 40, 80, 160, 320)
"""Rounds of the loop after which tests cancel: every await of an operation is hit by one of them."""


class StoreConformance(Conformance):
    """Outcomes, rollback of one unit, epochs, cancellation, opening and closing."""

    async def test_nothing_to_commit_is_no_mistake(self, stores: Stores) -> None:
        store = await stores.open()
        assert list(await store.commit([])) == []
        assert fates(await store.commit([Unit()])) == [Commit.COMMITTED]

    async def test_one_outcome_per_unit_in_order(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(marks=[mark(1)]))
        lease = await lease_on(store)
        old = Lease(lease.scope, lease.part, lease.epoch - 1, lease.valid_until)
        outcomes = await store.commit(
            [
                Unit(marks=[mark(1)]),
                Unit(statements=[bad()], marks=[mark(2)]),
                Unit(marks=[mark(3)], leases=[lease]),
                Unit(marks=[mark(4)], leases=[old]),
                Unit(marks=[mark(5)]),
            ]
        )
        assert fates(outcomes) == [Commit.DUPLICATE, Commit.FAILED, Commit.COMMITTED, Commit.STALE, Commit.COMMITTED]
        assert await marked(store, 1, 2, 3, 4, 5) == [1, 3, 5]

    @pytest.mark.parametrize("place", [0, 2, 4])
    async def test_a_failed_unit_is_rolled_back_alone(self, stores: Stores, place: int) -> None:
        store = await stores.open()
        units = [Unit(marks=[mark(n)], publish=[message(n)], park=[parked(n)]) for n in range(5)]
        units[place].statements = [bad()]
        outcomes = await store.commit(units)
        assert fates(outcomes) == [Commit.FAILED if n == place else Commit.COMMITTED for n in range(5)]
        assert isinstance(outcomes[place].error, CatgaError)
        others = [n for n in range(5) if n != place]
        assert await marked(store, *range(5)) == others
        assert numbers(await store.due(CHANNEL, [0], 1, 10)) == others
        assert await store.pending() == 8

    async def test_a_failed_unit_can_be_committed_later(self, stores: Stores) -> None:
        store = await stores.open()
        await store.commit([Unit(statements=[bad()], marks=[mark(1)])])
        await committed(store, Unit(marks=[mark(1)]))

    async def test_all_of_a_group_may_fail(self, stores: Stores) -> None:
        store = await stores.open()
        outcomes = await store.commit([Unit(statements=[bad()], marks=[mark(n)]) for n in range(3)])
        assert fates(outcomes) == [Commit.FAILED] * 3
        assert await marked(store, 0, 1, 2) == []

    async def test_nothing_is_written_under_a_superseded_epoch(self, stores: Stores, clock: SteeredClock) -> None:
        store = await stores.open()
        await committed(store, Unit(park=[parked(7)]))
        old = await lease_on(store, ttl=self.lease_ttl)
        await clock.advance(self.lease_ttl * 1.5)
        new = await lease_on(store, owner="b", ttl=self.lease_ttl)
        unit = Unit(marks=[mark(1)], publish=[message(1)], park=[parked(1)], unpark=[(HANDLER, id_of(7))], leases=[old])
        (outcome,) = await store.commit([unit])
        assert outcome.commit is Commit.STALE
        assert isinstance(outcome.error, CatgaError)
        assert await marked(store, 1) == []
        assert numbers(await store.due(CHANNEL, [0], 1, 10)) == [7]
        assert await store.pending() == 1
        unit.leases = [new]
        await committed(store, unit)
        assert await marked(store, 1) == [1]

    async def test_one_superseded_lease_of_several_is_enough(self, stores: Stores) -> None:
        store = await stores.open()
        lease, other = await lease_on(store), await lease_on(store, part=1)
        old = Lease(other.scope, other.part, other.epoch - 1, other.valid_until)
        outcomes = await store.commit([Unit(marks=[mark(1)], leases=[lease, old])])
        assert fates(outcomes) == [Commit.STALE]
        assert await marked(store, 1) == []

    async def test_a_lease_that_nobody_ever_had_is_stale(self, stores: Stores) -> None:
        store = await stores.open()
        outcomes = await store.commit([Unit(marks=[mark(1)], leases=[Lease("nobody", 3, 1, 1e9)])])
        assert fates(outcomes) == [Commit.STALE]

    async def test_an_expired_lease_that_nobody_took_still_commits(self, stores: Stores, clock: SteeredClock) -> None:
        store = await stores.open()
        lease = await lease_on(store, ttl=self.lease_ttl)
        await clock.advance(self.lease_ttl * 1.5)
        await committed(store, Unit(marks=[mark(1)], leases=[lease]))

    async def test_commits_at_once_are_all_made(self, stores: Stores) -> None:
        instances = [await stores.open() for _ in range(3)]
        await asyncio.gather(
            *(committed(instances[n % 3], Unit(marks=[mark(n)], publish=[message(n)])) for n in range(60))
        )
        assert await marked(instances[0], *range(60)) == list(range(60))
        assert await instances[1].pending() == 60

    async def test_cancelled_commits_are_all_or_nothing(self, stores: Stores, clock: SteeredClock) -> None:
        store = await stores.open()
        for step in STEPS:
            unit = Unit(marks=[mark(step)], publish=[message(step)], park=[parked(step)])
            await cancelled_after(step, store.commit([unit]))
            # Nothing stands open: the next one is made, and sees all of the cancelled one, or none.
            await committed(store, Unit(marks=[mark(1000 + step)]))
            await clock.settle()
            written = bool(await marked(store, step))
            assert numbers(await store.due(CHANNEL, [0], 1, 1000)).count(step) == written
        done = len(await marked(store, *STEPS))
        assert await store.pending() == 2 * done

    async def test_a_commit_that_has_begun_is_made_although_its_caller_was_cancelled(
        self, stores: Stores, clock: SteeredClock, hold_commit: HoldCommit | None
    ) -> None:
        if hold_commit is None:
            pytest.skip("only where a commit can be held open")
        store = await stores.open()
        async with hold_commit(store) as held:
            caller = asyncio.ensure_future(store.commit([Unit(marks=[mark(1)], publish=[message(1)])]))
            await held.reached()
            caller.cancel()
            await asyncio.wait([caller])
            assert await marked(store, 1) == []
            held.release()
            await clock.settle()
            assert await marked(store, 1) == [1]
            assert await store.pending() == 1

    async def test_other_writes_can_be_cancelled(self, stores: Stores, clock: SteeredClock) -> None:
        store, other = await stores.open(), await stores.open()
        writes: list[Callable[[int], Awaitable[Any]]] = [
            lambda n: store.declare([f"name-{n}"]),
            lambda n: store.claim(f"scope-{n}", "a", 16, self.lease_ttl),
            lambda n: store.forget(n),
        ]
        for write in writes:
            for step in STEPS:
                await cancelled_after(step, write(step))
                await committed(store, Unit())
                await committed(other, Unit())
        await clock.settle()

    async def test_close_waits_for_a_commit_under_way(self, stores: Stores, make_store: MakeStore) -> None:
        witness = await stores.open()
        for step in STEPS:
            store = make_store()
            await store.open()
            await store.declare([HANDLER, CHANNEL])
            task = asyncio.ensure_future(store.commit([Unit(marks=[mark(step)])]))
            await rounds(step + 1)
            await store.close()
            assert fates(await task) == [Commit.COMMITTED]
            assert await marked(witness, step) == [step]

    async def test_a_closed_store_says_so(self, make_store: MakeStore) -> None:
        store = make_store()
        await store.open()
        await store.declare([HANDLER])
        await store.close()
        await refuses(store)

    async def test_a_store_that_was_never_opened_says_so(self, make_store: MakeStore) -> None:
        await refuses(make_store())

    async def test_each_open_needs_its_close(self, stores: Stores, make_store: MakeStore) -> None:
        store = make_store()
        await asyncio.gather(store.open(), store.open())
        await store.declare([HANDLER])
        await store.close()
        await committed(store, Unit(marks=[mark(1)]))
        await store.close()
        with pytest.raises(CatgaError):
            await store.commit([Unit()])

    def test_one_object_serves_one_loop_after_another(self, make_store: MakeStore) -> None:
        store = make_store()

        async def use(start: int) -> None:
            await store.open()
            await store.declare([HANDLER, CHANNEL])
            await asyncio.gather(*(committed(store, Unit(marks=[mark(start + n)])) for n in range(10)))
            await store.close()

        run(use(0))
        run(use(100))

    async def test_names_may_be_declared_again_and_by_many(self, stores: Stores) -> None:
        first, second = await stores.open(), await stores.open()
        names = [f"handler-{n}" for n in range(20)]
        await asyncio.gather(*(store.declare(names[n:]) for n in range(20) for store in (first, second)))
        await committed(first, Unit(marks=[mark(1, names[3])]))
        await committed(second, Unit(marks=[mark(1, names[4])]))
        assert await marked(second, 1, handler=names[3]) == [1]
        assert await marked(first, 1, handler=names[4]) == [1]

    async def test_pending_counts_what_is_left_to_do(self, stores: Stores) -> None:
        store = await stores.open()
        assert await store.pending() == 0
        await committed(store, Unit(publish=[message(1), message(2)], marks=[mark(1)]))
        assert await store.pending() == 2
        await committed(store, Unit(park=[parked(3), parked(4, ParkedState.BLOCKED)]))
        assert await store.pending() == 4
        await committed(store, Unit(park=[parked(5, ParkedState.SCHEDULED), parked(6, ParkedState.DEAD)]))
        assert await store.pending() == 4


async def cancelled_after(step: int, awaitable: Awaitable[Any]) -> None:
    """Cancels after so many rounds of the loop, unless it has ended before."""
    task = asyncio.ensure_future(awaitable)
    await rounds(step)
    task.cancel()
    await asyncio.wait([task])


async def refuses(store: Store) -> None:
    """Whatever it is asked, it raises a typed error and touches nothing."""
    for call in (
        store.commit([Unit(marks=[mark(1)])]),
        store.claim(CHANNEL, "a", 16, 10.0),
        store.pending(),
        store.due(CHANNEL, [0], 1, 1),
        store.outbox([Lease(CHANNEL, 0, 1, 0.0)], 1),
        store.forget(1),
    ):
        with pytest.raises(CatgaError):
            await call
