"""Parked rows: retries, followers behind their head, schedules, dead letters."""

import asyncio

from catga.ports import Commit, Parked, ParkedState, Store, Unit, Waiting
from catga.testing.conformance.base import (
    CHANNEL,
    HANDLER,
    OTHER,
    Conformance,
    Stores,
    bad,
    committed,
    fates,
    id_of,
    mark,
    marked,
    message,
    numbers,
    parked,
)

RETRY, BLOCKED, SCHEDULED, DEAD = ParkedState.RETRY, ParkedState.BLOCKED, ParkedState.SCHEDULED, ParkedState.DEAD
KEY = b"key"
BLOCKING = -1
"""The due time of a dead letter whose key waits for its replay."""


class ParkedConformance(Conformance):
    """What waits leaves in order, once."""

    async def test_rows_come_back_as_they_were(self, stores: Stores) -> None:
        store = await stores.open()
        row = Parked(HANDLER, id_of(1), CHANNEL, 3, KEY, RETRY, 5, b"frame", 2, 4, "reason", b"history")
        await committed(store, Unit(park=[row]))
        (found,) = await store.due(CHANNEL, [3], 5, 10)
        assert found.order > 0
        assert found == Parked(
            HANDLER, id_of(1), CHANNEL, 3, KEY, RETRY, 5, b"frame", 2, 4, "reason", b"history", found.order
        )

    async def test_due_gives_what_is_due_oldest_first(self, stores: Stores) -> None:
        store = await stores.open()
        rows = [parked(1, due_ms=30), parked(2, due_ms=10), parked(3, SCHEDULED, 20, handler=""), parked(4, due_ms=40)]
        await committed(store, Unit(park=rows), Unit(park=[parked(5, due_ms=10)]))
        assert numbers(await store.due(CHANNEL, [0], 9, 10)) == []
        assert numbers(await store.due(CHANNEL, [0], 30, 10)) == [2, 5, 3, 1]
        assert numbers(await store.due(CHANNEL, [0], 99, 3)) == [2, 5, 3]

    async def test_due_looks_at_its_channel_and_parts_only(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(park=[parked(n, part=n) for n in range(5)]))
        assert numbers(await store.due(CHANNEL, [1, 3, 9], 1, 10)) == [1, 3]
        assert numbers(await store.due(CHANNEL, [], 1, 10)) == []
        assert numbers(await store.due("other", [1, 3], 1, 10)) == []
        assert numbers(await store.due("never heard of", [1, 3], 1, 10)) == []

    async def test_dead_letters_are_never_due(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(park=[parked(1, DEAD), parked(2, DEAD, BLOCKING, KEY)]))
        assert numbers(await store.due(CHANNEL, [0], 99, 10)) == []

    async def followers(
        self, store: Store, key: bytes = KEY, handler: str = HANDLER, part: int = 0, most: int = 9
    ) -> list[int]:
        """What may leave behind its head."""
        return numbers(await store.followers(CHANNEL, part, handler, key, most))

    async def test_followers_wait_for_their_head_and_leave_in_order(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(park=[parked(1, RETRY, 50, KEY), parked(2, BLOCKED, key=KEY)]))
        await committed(store, Unit(park=[parked(3, BLOCKED, key=KEY), parked(4, BLOCKED, key=KEY)]))
        assert await self.followers(store) == []
        assert numbers(await store.due(CHANNEL, [0], 99, 10)) == [1]
        await committed(store, Unit(unpark=[(HANDLER, id_of(1))]))
        assert await self.followers(store) == [2, 3, 4]
        assert await self.followers(store, most=2) == [2, 3]
        assert numbers(await store.due(CHANNEL, [0], 99, 10)) == []
        await committed(store, Unit(unpark=[(HANDLER, id_of(2))]))
        assert await self.followers(store) == [3, 4]

    async def test_followers_wait_for_their_own_head_only(self, stores: Stores) -> None:
        store = await stores.open()
        rows = [
            parked(1, RETRY, 50, KEY),
            parked(2, BLOCKED, key=b"other key"),
            parked(3, BLOCKED, key=KEY, handler=OTHER),
            parked(4, BLOCKED, key=KEY, part=1),
            parked(5, BLOCKED, key=KEY),
        ]
        await committed(store, Unit(park=rows))
        assert await self.followers(store, b"other key") == [2]
        assert await self.followers(store, handler=OTHER) == [3]
        assert await self.followers(store, part=1) == [4]
        assert await self.followers(store) == []
        assert await self.followers(store, b"never heard of") == []
        assert await self.followers(store, handler="never heard of") == []

    async def test_a_head_that_fails_again_stays_before_its_followers(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(park=[parked(1, RETRY, 10, KEY), parked(2, BLOCKED, key=KEY)]))
        (head,) = await store.due(CHANNEL, [0], 10, 10)
        again = parked(1, RETRY, 90, KEY, failures=2, order=head.order)
        await committed(store, Unit(unpark=[(HANDLER, id_of(1))], park=[again]))
        assert await self.followers(store) == []
        assert list(await store.due(CHANNEL, [0], 90, 10)) == [again]

    async def test_a_follower_parked_beside_a_failing_head_comes_after_it(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(park=[parked(1, RETRY, 10, KEY)]))
        (head,) = await store.due(CHANNEL, [0], 10, 10)
        follower = Unit(park=[parked(2, BLOCKED, key=KEY)])
        again = Unit(unpark=[(HANDLER, id_of(1))], park=[parked(1, RETRY, 90, KEY, order=head.order)])
        await committed(store, follower, again)
        assert await self.followers(store) == []
        (head,) = await store.due(CHANNEL, [0], 90, 10)
        await committed(store, Unit(unpark=[(HANDLER, id_of(1))]))
        (behind,) = await store.followers(CHANNEL, 0, HANDLER, KEY, 9)
        assert behind.order > head.order

    async def test_dead_heads_let_their_followers_pass(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(park=[parked(n, DEAD, 0, KEY) for n in range(20)]))
        await committed(store, Unit(park=[parked(20, BLOCKED, key=KEY), parked(21, BLOCKED, key=KEY)]))
        assert await self.followers(store, most=2) == [20, 21]

    async def test_a_dead_head_may_block_until_it_is_replayed(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(park=[parked(1, DEAD, BLOCKING, KEY), parked(2, BLOCKED, key=KEY)]))
        assert await self.followers(store) == []
        await committed(store, Unit(unpark=[(HANDLER, id_of(1))]))
        assert await self.followers(store) == [2]

    async def test_a_follower_that_waits_for_a_retry_holds_up_those_behind_it(self, stores: Stores) -> None:
        store = await stores.open()
        rows = [parked(1, BLOCKED, key=KEY), parked(2, RETRY, 50, KEY), parked(3, BLOCKED, key=KEY)]
        await committed(store, Unit(park=rows))
        assert await self.followers(store) == [1]

    async def test_parking_again_replaces(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(park=[parked(1, due_ms=1)]))
        await committed(store, Unit(park=[parked(1, due_ms=2, failures=3)]))
        assert [(row.due_ms, row.failures) for row in await store.due(CHANNEL, [0], 9, 10)] == [(2, 3)]

    async def test_a_row_is_ended_once(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(park=[parked(1)]))
        end = (HANDLER, id_of(1))
        outcomes = await store.commit([Unit(unpark=[end], marks=[mark(1)]), Unit(unpark=[end], marks=[mark(2)])])
        assert fates(outcomes) == [Commit.COMMITTED, Commit.DUPLICATE]
        assert fates(await store.commit([Unit(unpark=[end], publish=[message(3)])])) == [Commit.DUPLICATE]
        assert await marked(store, 1, 2) == [1]
        assert await store.pending() == 0

    async def test_a_row_is_ended_once_in_one_unit_too(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(park=[parked(1), parked(2)]))
        end = (HANDLER, id_of(1))
        unit = Unit(unpark=[(HANDLER, id_of(2)), end, end], publish=[message(3)])
        assert fates(await store.commit([unit])) == [Commit.DUPLICATE]
        assert await store.pending() == 2

    async def test_one_row_that_is_gone_is_enough(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(park=[parked(1), parked(2)]))
        await committed(store, Unit(unpark=[(HANDLER, id_of(2))]))
        unit = Unit(unpark=[(HANDLER, id_of(1)), (HANDLER, id_of(2))], publish=[message(1)], park=[parked(3)])
        assert fates(await store.commit([unit, Unit(marks=[mark(9)])])) == [Commit.DUPLICATE, Commit.COMMITTED]
        assert numbers(await store.due(CHANNEL, [0], 1, 10)) == [1]

    async def test_a_unit_that_fails_ends_nothing(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(park=[parked(1)]))
        outcomes = await store.commit([Unit(unpark=[(HANDLER, id_of(1))], statements=[bad()])])
        assert fates(outcomes) == [Commit.FAILED]
        assert numbers(await store.due(CHANNEL, [0], 1, 10)) == [1]

    async def test_of_many_racing_one_ends_a_row(self, stores: Stores) -> None:
        first, second = await stores.open(), await stores.open()
        for n in range(20):
            await committed(first, Unit(park=[parked(n)]))
            racing = (store.commit([Unit(unpark=[(HANDLER, id_of(n))])]) for store in (first, second, first))
            outcomes = [outcome for (outcome,) in await asyncio.gather(*racing)]
            assert sorted(fate.name for fate in fates(outcomes)) == ["COMMITTED", "DUPLICATE", "DUPLICATE"]

    async def test_waiting_names_every_row_that_others_wait_behind(self, stores: Stores) -> None:
        store = await stores.open()
        rows = [
            parked(1, RETRY, 50, KEY),
            parked(2, BLOCKED, key=KEY),
            parked(3, DEAD, BLOCKING, b"dead", handler=OTHER, part=1),
            parked(4, DEAD, 0, b"skipped"),
            parked(5, SCHEDULED, 9, b"later", handler=""),
            parked(6, RETRY, 50),
            parked(7, RETRY, 50, b"elsewhere", part=5),
        ]
        await committed(store, Unit(park=rows))
        assert list(await store.waiting(CHANNEL, [0, 1])) == [
            Waiting(HANDLER, KEY, 0, id_of(1), False),
            Waiting(HANDLER, KEY, 0, id_of(2), False),
            Waiting(OTHER, b"dead", 1, id_of(3), True),
        ]
        assert list(await store.waiting(CHANNEL, [5])) == [Waiting(HANDLER, b"elsewhere", 5, id_of(7), False)]
        assert list(await store.waiting(CHANNEL, [])) == []
        assert list(await store.waiting("other", [0])) == []
        assert list(await store.waiting("never heard of", [0])) == []

    async def test_what_waits_behind_a_dead_letter_that_blocks_is_not_pending(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(park=[parked(1, RETRY, 50, KEY), parked(2, BLOCKED, key=KEY)]))
        assert await store.pending() == 2
        await committed(store, Unit(unpark=[(HANDLER, id_of(1))], park=[parked(1, DEAD, BLOCKING, KEY)]))
        assert await store.pending() == 0
        elsewhere = [parked(3, BLOCKED, key=KEY, handler=OTHER), parked(4, BLOCKED, key=b"another")]
        await committed(store, Unit(park=elsewhere))
        assert await store.pending() == 2
        await committed(store, Unit(unpark=[(HANDLER, id_of(1))]))
        assert await store.pending() == 3
        await committed(store, Unit(park=[parked(5, DEAD, 0, KEY)]))
        assert await store.pending() == 3

    async def test_dead_letters_newest_first(self, stores: Stores) -> None:
        store = await stores.open()
        for n in range(6):
            await committed(store, Unit(park=[parked(n, DEAD if n else RETRY, handler=HANDLER if n % 2 else OTHER)]))
        assert numbers(await store.dead(10)) == [5, 4, 3, 2, 1]
        assert numbers(await store.dead(2)) == [5, 4]
        assert numbers(await store.dead(10, OTHER)) == [4, 2]
        assert numbers(await store.dead(10, "never heard of")) == []

    async def test_next_due_is_the_earliest(self, stores: Stores) -> None:
        store = await stores.open()
        assert await store.next_due() is None
        await committed(store, Unit(park=[parked(1, DEAD), parked(2, BLOCKED, key=KEY)]))
        assert await store.next_due() is None
        await committed(store, Unit(park=[parked(3, RETRY, 70), parked(4, SCHEDULED, 40, handler="")]))
        assert await store.next_due() == 40
        await committed(store, Unit(unpark=[("", id_of(4))]))
        assert await store.next_due() == 70

    async def test_renamed_handlers_keep_what_is_parked(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(park=[parked(1, RETRY, 5, KEY), parked(2, BLOCKED, key=KEY), parked(3, DEAD)]))
        await committed(store, Unit(park=[parked(4, handler=OTHER), parked(5, SCHEDULED, handler="")]))
        await store.rename({HANDLER: "new"})
        assert [(row.handler, int(row.frame)) for row in await store.due(CHANNEL, [0], 9, 9)] == [
            (OTHER, 4),
            ("", 5),
            ("new", 1),
        ]
        assert numbers(await store.dead(9, "new")) == [3]
        await committed(store, Unit(unpark=[("new", id_of(1))]))
        assert await self.followers(store, handler="new") == [2]

    async def test_handlers_do_not_meet(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(park=[parked(1), parked(1, handler=OTHER), parked(1, SCHEDULED, handler="")]))
        await committed(store, Unit(unpark=[(OTHER, id_of(1))]))
        assert sorted(row.handler for row in await store.due(CHANNEL, [0], 1, 10)) == ["", HANDLER]
