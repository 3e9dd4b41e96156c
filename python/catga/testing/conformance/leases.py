"""Leases: one holder at a time, a new epoch with every change of hands, fair shares."""

import asyncio
import random

import pytest

from catga.ports import Commit, Lease, Share, Store, Unit
from catga.testing.clock import SteeredClock
from catga.testing.conformance.base import Conformance, Stores, fates, mark

SCOPE = "orders"


class LeasesConformance(Conformance):
    """Sixteen parts, several owners."""

    async def claim(self, store: Store, owner: str, scope: str = SCOPE, parts: int = 16) -> Share:
        """With the suite's time to live."""
        return await store.claim(scope, owner, parts, self.lease_ttl)

    async def test_the_first_has_all_parts(self, stores: Stores, clock: SteeredClock) -> None:
        store = await stores.open()
        before = clock.monotonic()
        share = await self.claim(store, "a")
        assert sorted(lease.part for lease in share.leases) == list(range(16))
        assert share.surplus == 0
        assert all(lease.scope == SCOPE and lease.epoch >= 1 and lease.crashes == 0 for lease in share.leases)
        assert all(lease.valid_until == pytest.approx(before + self.lease_ttl, abs=0.1) for lease in share.leases)

    async def test_renewal_keeps_the_epoch_and_moves_the_end(self, stores: Stores, clock: SteeredClock) -> None:
        store = await stores.open()
        first = by_part(await self.claim(store, "a"))
        await clock.advance(self.lease_ttl / 2)
        second = by_part(await self.claim(store, "a"))
        assert {part: lease.epoch for part, lease in second.items()} == {p: lease.epoch for p, lease in first.items()}
        assert all(second[part].valid_until > first[part].valid_until for part in first)
        await clock.advance(self.lease_ttl * 0.75)
        assert (await self.claim(store, "b")).leases == []

    async def test_a_claim_anew_keeps_the_parts_under_new_epochs(self, stores: Stores, clock: SteeredClock) -> None:
        store, other = await stores.open(), await stores.open()
        crashed = await self.claim(other, "crashed")
        await clock.advance(self.lease_ttl * 1.5)
        old = by_part(await self.claim(store, "a"))
        share = await store.claim(SCOPE, "a", 16, self.lease_ttl, anew=True)
        new = by_part(share)
        assert share.before == {part: lease.epoch for part, lease in old.items()}
        assert all(new[part].epoch > old[part].epoch for part in old)
        # Whom the parts were taken from is still known.
        assert len(crashed.leases) == len(new) == 16
        assert all(lease.crashes == 1 for lease in new.values())
        outcomes = await store.commit([Unit(marks=[mark(1)], leases=[old[3]]), Unit(marks=[mark(2)], leases=[new[3]])])
        assert fates(outcomes) == [Commit.STALE, Commit.COMMITTED]
        assert (await self.claim(store, "a")).before == {}
        assert list((await self.claim(other, "b")).leases) == []

    async def test_claims_and_commits_do_not_wait_for_each_other_in_a_ring(self, stores: Stores) -> None:
        store, other = await stores.open(), await stores.open()
        held = [list((await self.claim(store, "a")).leases)]
        over = asyncio.Event()

        async def commit(number: int) -> None:
            while not over.is_set():
                number += 10
                await other.commit([Unit(marks=[mark(number)], leases=held[-1])])

        committing = [asyncio.create_task(commit(number)) for number in range(2)]
        for _ in range(40):
            share = await store.claim(SCOPE, "a", 16, self.lease_ttl, anew=True)
            held.append(list(reversed(share.leases)) if len(held) % 2 else list(share.leases))
            await store.clear(list(share.leases)[::-1])
        over.set()
        await asyncio.gather(*committing)

    async def test_a_live_owner_keeps_its_parts(self, stores: Stores) -> None:
        store, other = await stores.open(), await stores.open()
        await self.claim(store, "a")
        assert list((await self.claim(other, "b")).leases) == []

    async def test_an_expired_part_is_taken_under_a_new_epoch(self, stores: Stores, clock: SteeredClock) -> None:
        store, other = await stores.open(), await stores.open()
        old = by_part(await self.claim(store, "a"))
        await clock.advance(self.lease_ttl * 1.5)
        new = by_part(await self.claim(other, "b"))
        assert sorted(new) == list(range(16))
        assert all(new[part].epoch > old[part].epoch for part in new)
        assert all(lease.crashes == 1 for lease in new.values())
        assert list((await self.claim(store, "a")).leases) == []

    async def crashes(self, store: Store, owner: str) -> set[int]:
        """What a claim says of the holders before."""
        return {lease.crashes for lease in (await self.claim(store, owner)).leases}

    async def test_crashes_in_a_row_are_counted(self, stores: Stores, clock: SteeredClock) -> None:
        store = await stores.open()
        for count, owner in enumerate("abcd"):
            assert await self.crashes(store, owner) == {count}
            assert await self.crashes(store, owner) == {count}
            await clock.advance(self.lease_ttl * 1.5)

    async def test_giving_back_ends_the_row(self, stores: Stores, clock: SteeredClock) -> None:
        store = await stores.open()
        await self.claim(store, "a")
        await clock.advance(self.lease_ttl * 1.5)
        share = await self.claim(store, "b")
        await store.release(SCOPE, "b", share.leases, leave=True)
        assert await self.crashes(store, "c") == {0}

    async def test_clearing_ends_the_row(self, stores: Stores, clock: SteeredClock) -> None:
        store = await stores.open()
        old = (await self.claim(store, "a")).leases
        await clock.advance(self.lease_ttl * 1.5)
        share = await self.claim(store, "b")
        await store.clear(old)
        assert await self.crashes(store, "b") == {1}
        await store.clear(share.leases)
        assert await self.crashes(store, "b") == {0}
        await clock.advance(self.lease_ttl * 1.5)
        assert await self.crashes(store, "c") == {1}

    async def test_an_expired_part_that_nobody_took_is_renewed(self, stores: Stores, clock: SteeredClock) -> None:
        store = await stores.open()
        old = by_part(await self.claim(store, "a"))
        await clock.advance(self.lease_ttl * 1.5)
        new = by_part(await self.claim(store, "a"))
        assert {part: lease.epoch for part, lease in new.items()} == {p: lease.epoch for p, lease in old.items()}
        assert not any(lease.crashes for lease in new.values())

    async def test_a_released_part_is_free_at_once_and_clean(self, stores: Stores) -> None:
        store = await stores.open()
        old = by_part(await self.claim(store, "a"))
        await store.release(SCOPE, "a", [old[3], old[5]])
        new = by_part(await self.claim(store, "b"))
        assert sorted(new) == [3, 5]
        assert all(lease.epoch > old[part].epoch and lease.crashes == 0 for part, lease in new.items())

    async def test_an_epoch_is_never_given_twice(self, stores: Stores, clock: SteeredClock) -> None:
        store = await stores.open()
        chance = random.Random(7)  # noqa: S311
        held: dict[str, dict[int, Lease]] = {}
        holders: dict[tuple[int, int], str] = {}
        for _ in range(60):
            owner = chance.choice("abc")
            if chance.random() < 0.3 and held.get(owner):
                leases = chance.sample(sorted(held[owner].values(), key=str), 1)
                await store.release(SCOPE, owner, leases)
            elif chance.random() < 0.3:
                await clock.advance(self.lease_ttl * 0.7)
            held[owner] = by_part(await self.claim(store, owner))
            for part, lease in held[owner].items():
                assert holders.setdefault((part, lease.epoch), owner) == owner

    async def test_only_its_holder_releases_a_part(self, stores: Stores, clock: SteeredClock) -> None:
        store = await stores.open()
        old = by_part(await self.claim(store, "a"))
        await store.release(SCOPE, "b", list(old.values()))
        assert list((await self.claim(store, "b")).leases) == []
        await store.release(SCOPE, "b", [], leave=True)
        await clock.advance(self.lease_ttl * 1.5)
        await self.claim(store, "b")
        await store.release(SCOPE, "a", list(old.values()), leave=True)
        assert len((await self.claim(store, "b")).leases) == 16
        assert len((await self.claim(store, "c")).leases) == 0

    async def test_releasing_twice_is_no_mistake(self, stores: Stores) -> None:
        store = await stores.open()
        leases = (await self.claim(store, "a")).leases
        await store.release(SCOPE, "a", leases, leave=True)
        await store.release(SCOPE, "a", leases, leave=True)
        assert len((await self.claim(store, "b")).leases) == 16

    async def test_positions_are_kept_by_whoever_holds_the_part(self, stores: Stores, clock: SteeredClock) -> None:
        store = await stores.open()
        old = by_part(await self.claim(store, "a"))
        assert dict(await store.positions(SCOPE, [1, 2])) == {}
        await store.advance("a", [(old[1], "one"), (old[2], "two")])
        await store.advance("a", [(old[2], "three")])
        await store.advance("a", [])
        await store.advance("b", [(old[1], "not mine")])
        assert dict(await store.positions(SCOPE, [0, 1, 2])) == {1: "one", 2: "three"}
        assert dict(await store.positions(SCOPE, [])) == {}
        assert dict(await store.positions("other", [1])) == {}
        await clock.advance(self.lease_ttl * 1.5)
        new = by_part(await self.claim(store, "b"))
        await store.advance("a", [(old[1], "late")])
        assert dict(await store.positions(SCOPE, [1])) == {1: "one"}
        await store.advance("b", [(new[1], "four")])
        await store.release(SCOPE, "b", [new[1]])
        await store.advance("b", [(new[1], "given back")])
        assert dict(await (await stores.open()).positions(SCOPE, [1])) == {1: "four"}

    async def test_who_leaves_one_scope_stays_in_the_others(self, stores: Stores) -> None:
        store = await stores.open()
        for scope in ("one", "two"):
            await self.claim(store, "a", scope)
        await store.release("one", "a", [], leave=True)
        assert (await self.claim(store, "b", "two")).leases == []
        assert (await self.claim(store, "a", "two")).surplus == 8

    async def test_scopes_do_not_meet(self, stores: Stores) -> None:
        store = await stores.open()
        await self.claim(store, "a", "one")
        assert len((await self.claim(store, "b", "two")).leases) == 16
        assert list((await self.claim(store, "b", "one")).leases) == []

    @pytest.mark.parametrize(
        ("owners", "shares"),
        [(1, [16]), (2, [8, 8]), (3, [5, 5, 6]), (5, [3, 3, 3, 3, 4]), (16, [1] * 16), (18, [0, 0] + [1] * 16)],
    )
    async def test_shares_are_fair(self, stores: Stores, clock: SteeredClock, owners: int, shares: list[int]) -> None:
        store = await stores.open()
        names = [f"owner-{n}" for n in range(owners)]
        held = await self.balance(store, names)
        assert sorted(len(parts) for parts in held.values()) == shares
        assert sorted(part for parts in held.values() for part in parts) == list(range(16))

    async def test_surplus_says_how_many_to_give(self, stores: Stores) -> None:
        store = await stores.open()
        first = await self.claim(store, "a")
        assert first.surplus == 0
        await self.claim(store, "b")
        second = await self.claim(store, "a")
        assert (len(second.leases), second.surplus) == (16, 8)
        await store.release(SCOPE, "a", second.leases[:8])
        third = await self.claim(store, "a")
        assert (len(third.leases), third.surplus) == (8, 0)
        assert len((await self.claim(store, "b")).leases) == 8

    async def test_who_leaves_is_no_longer_counted(self, stores: Stores) -> None:
        store = await stores.open()
        held = await self.balance(store, ["a", "b"])
        await store.release(SCOPE, "b", list(held["b"].values()), leave=True)
        share = await self.claim(store, "a")
        assert (len(share.leases), share.surplus) == (16, 0)

    async def test_who_is_silent_is_no_longer_counted(self, stores: Stores, clock: SteeredClock) -> None:
        store = await stores.open()
        await self.balance(store, ["a", "b"])
        await clock.advance(self.lease_ttl * 1.5)
        share = await self.claim(store, "a")
        assert (len(share.leases), share.surplus) == (16, 0)

    async def test_of_many_racing_each_part_has_one_holder(self, stores: Stores, clock: SteeredClock) -> None:
        instances = [await stores.open() for _ in range(3)]
        await self.claim(instances[0], "gone")
        await clock.advance(self.lease_ttl * 1.5)
        shares = await asyncio.gather(*(self.claim(instances[n % 3], f"owner-{n}") for n in range(6)))
        taken = [lease.part for share in shares for lease in share.leases]
        assert sorted(taken) == list(range(16))

    async def balance(self, store: Store, owners: list[str]) -> dict[str, dict[int, Lease]]:
        """Everybody claims and gives back what is too much, until nothing changes."""
        held: dict[str, dict[int, Lease]] = {}
        for _ in range(3):
            for owner in owners:
                share = await self.claim(store, owner)
                spare = sorted(share.leases, key=lambda lease: -lease.part)[: share.surplus]
                await store.release(SCOPE, owner, spare)
                held[owner] = {lease.part: lease for lease in share.leases if lease not in spare}
        return held


def by_part(share: Share) -> dict[int, Lease]:
    """The leases of a share."""
    return {lease.part: lease for lease in share.leases}
