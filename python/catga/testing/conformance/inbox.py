"""The inbox: what was handled is known, once."""

import asyncio

from catga.ports import Commit, Mark, MarkState, Unit
from catga.testing.conformance.base import (
    DAY,
    HANDLER,
    OTHER,
    Conformance,
    Stores,
    committed,
    fates,
    id_of,
    mark,
    marked,
    message,
)


class InboxConformance(Conformance):
    """Marks are unique by (day, handler, id), looked up by the list, and dropped by the day."""

    async def test_known_gives_those_that_have_a_mark(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(marks=[mark(1), mark(2)]), Unit(marks=[mark(3, OTHER)]))
        assert await store.known({(DAY, HANDLER): [id_of(1), id_of(3), id_of(9)], (DAY, OTHER): [id_of(3)]}) == {
            (HANDLER, id_of(1)),
            (OTHER, id_of(3)),
        }
        assert await store.known({(DAY + 1, HANDLER): [id_of(1)]}) == set()
        assert await store.known({}) == set()
        assert await store.known({(DAY, HANDLER): []}) == set()

    async def test_known_takes_long_lists(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, *(Unit(marks=[mark(number)]) for number in range(0, 2000, 2)))
        assert await marked(store, *range(2000)) == list(range(0, 2000, 2))

    async def test_mark_gives_state_and_reply(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(
            store,
            Unit(marks=[mark(1, reply=b"reply")]),
            Unit(marks=[mark(2, state=MarkState.DEFERRED)]),
            Unit(marks=[mark(3, reply=b"")]),
        )
        assert await store.mark(DAY, HANDLER, id_of(1)) == mark(1, reply=b"reply")
        assert await store.mark(DAY, HANDLER, id_of(2)) == mark(2, state=MarkState.DEFERRED)
        assert await store.mark(DAY, HANDLER, id_of(3)) == mark(3, reply=b"")
        assert await store.mark(DAY, OTHER, id_of(1)) is None
        assert await store.mark(DAY + 1, HANDLER, id_of(1)) is None

    async def test_a_mark_of_an_earlier_commit_makes_a_duplicate(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(marks=[mark(1, reply=b"first")]))
        outcomes = await store.commit([Unit(marks=[mark(1, reply=b"second")], publish=[message(1)])])
        assert fates(outcomes) == [Commit.DUPLICATE]
        found = await store.mark(DAY, HANDLER, id_of(1))
        assert found is not None
        assert found.reply == b"first"
        assert await store.pending() == 0

    async def test_a_mark_of_the_same_commit_makes_a_duplicate(self, stores: Stores) -> None:
        store = await stores.open()
        units = [Unit(marks=[mark(n)], publish=[message(n)]) for n in (1, 2, 1, 3, 2)]
        assert fates(await store.commit(units)) == [
            Commit.COMMITTED,
            Commit.COMMITTED,
            Commit.DUPLICATE,
            Commit.COMMITTED,
            Commit.DUPLICATE,
        ]
        assert await store.pending() == 3

    async def test_one_mark_of_several_is_enough_and_the_others_are_not_written(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(marks=[mark(2)]))
        outcomes = await store.commit([Unit(marks=[mark(1), mark(2), mark(3)]), Unit(marks=[mark(1)])])
        assert fates(outcomes) == [Commit.DUPLICATE, Commit.COMMITTED]
        assert await marked(store, 1, 2, 3) == [1, 2]

    async def test_a_unit_that_marks_one_message_twice_is_not_committed(self, stores: Stores) -> None:
        # A list in which a message came twice would take effect twice.
        store = await stores.open()
        units = [Unit(marks=[mark(1), mark(2), mark(1)], publish=[message(1)]), Unit(marks=[mark(2), mark(2, OTHER)])]
        twice, once = fates(await store.commit(units))
        assert (twice is Commit.COMMITTED, once) == (False, Commit.COMMITTED)
        assert await marked(store, 1, 2) == [2]
        assert await store.pending() == 0

    async def test_handlers_and_days_do_not_meet(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(marks=[mark(1)]))
        await committed(store, Unit(marks=[mark(1, OTHER)]))
        outcomes = await store.commit([Unit(marks=[mark(1, OTHER)]), Unit(marks=[mark(1)])])
        assert fates(outcomes) == [Commit.DUPLICATE, Commit.DUPLICATE]

    async def test_replace_overwrites_an_earlier_state(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(marks=[mark(1, state=MarkState.DEFERRED)]))
        done = mark(1, reply=b"late", replace=True)
        await committed(store, Unit(marks=[done]))
        found = await store.mark(DAY, HANDLER, id_of(1))
        assert found is not None
        assert (found.state, found.reply) == (MarkState.DONE, b"late")
        assert fates(await store.commit([Unit(marks=[mark(1)])])) == [Commit.DUPLICATE]

    async def test_replace_needs_no_earlier_state_and_counts_within_its_commit(self, stores: Stores) -> None:
        store = await stores.open()
        units = [Unit(marks=[mark(1, replace=True, reply=b"kept")]), Unit(marks=[mark(1, reply=b"late")])]
        assert fates(await store.commit(units)) == [Commit.COMMITTED, Commit.DUPLICATE]
        found = await store.mark(DAY, HANDLER, id_of(1))
        assert found is not None
        assert found.reply == b"kept"

    async def test_renamed_handlers_keep_their_marks(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(marks=[mark(1, reply=b"old"), mark(2), mark(3, OTHER)]))
        await committed(store, Unit(marks=[Mark(DAY + 5, HANDLER, id_of(4))]))
        for _ in range(2):
            await store.rename({HANDLER: "new", "never heard of": "neither"})
            await store.declare(["new", HANDLER])
            assert await marked(store, 1, 2, 3, 4, handler="new") == [1, 2]
            assert await marked(store, 1, 2, 3, 4) == []
            assert await marked(store, 3, handler=OTHER) == [3]
        found = await store.mark(DAY, "new", id_of(1))
        assert found is not None
        assert found.reply == b"old"
        assert fates(await store.commit([Unit(marks=[Mark(DAY + 5, "new", id_of(4))])])) == [Commit.DUPLICATE]

    async def test_a_new_name_that_is_known_already_has_both(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, Unit(marks=[mark(1, reply=b"old"), mark(2)]))
        await committed(store, Unit(marks=[mark(1, OTHER, reply=b"new"), mark(3, OTHER)]))
        await store.rename({HANDLER: OTHER})
        assert await marked(store, 1, 2, 3, handler=OTHER) == [1, 2, 3]
        found = await store.mark(DAY, OTHER, id_of(1))
        assert found is not None
        assert found.reply == b"new"
        await store.declare([HANDLER])
        assert await marked(store, 1, 2, 3) == []

    async def test_forget_drops_older_days(self, stores: Stores) -> None:
        store = await stores.open()
        await committed(store, *(Unit(marks=[Mark(day, HANDLER, id_of(day))]) for day in range(10)))
        for _ in range(2):
            await store.forget(7)
        assert [day for day in range(10) if await store.mark(day, HANDLER, id_of(day))] == [7, 8, 9]
        assert fates(await store.commit([Unit(marks=[Mark(9, HANDLER, id_of(9))])])) == [Commit.DUPLICATE]

    async def test_of_many_racing_for_one_mark_one_wins(self, stores: Stores) -> None:
        first, second = await stores.open(), await stores.open()
        racing = [
            store.commit([Unit(marks=[mark(n)], publish=[message(n)])])
            for n in range(20)
            for store in (first, second, first)
        ]
        outcomes = [outcome for (outcome,) in await asyncio.gather(*racing)]
        for n in range(20):
            assert sorted(fate.name for fate in fates(outcomes[3 * n : 3 * n + 3])) == [
                "COMMITTED",
                "DUPLICATE",
                "DUPLICATE",
            ]
        assert await first.pending() == 20
        assert await marked(second, *range(20)) == list(range(20))

    async def test_another_instance_knows_at_once(self, stores: Stores) -> None:
        first, second = await stores.open(), await stores.open()
        for n in range(10):
            await committed(first, Unit(marks=[mark(n)]))
            assert await marked(second, n) == [n]
