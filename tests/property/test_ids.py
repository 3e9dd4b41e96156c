"""Ids only grow, under any clock, and never come twice."""

import os
import uuid
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.property.models.ids import Snowflake as Model
from tests.property.models.ids import is_uuid7, ms_of

from catga._core import Ids, Snowflake

NOW = st.one_of(st.integers(0, 5), st.integers(1_700_000_000_000, 1_700_000_000_005), st.integers(0, 2**47))
SEED = st.integers(0, 2**64 - 1)
PROFILE = settings(max_examples=200, deadline=None)


@PROFILE
@given(SEED, st.lists(st.tuples(NOW, st.integers(0, 40), st.none() | SEED), min_size=1, max_size=30))
def test_ids_only_grow_and_carry_the_time(seed: int, steps: list[tuple[int, int, int | None]]) -> None:
    ids, given_out, highest, reseeds = Ids(seed), [], 0, 0
    for now, count, reseed in steps:
        if reseed is not None:
            ids.reseed(reseed)
            reseeds += 1
        fresh = [ids.next(now), *ids.many(count, now)]
        highest = max(highest, now)
        for one in fresh:
            assert is_uuid7(one)
            assert highest <= ms_of(one) <= highest + reseeds
        given_out += fresh
    assert all(one < other for one, other in pairwise(given_out))


@PROFILE
@given(SEED, SEED, st.integers(0, 5))
def test_a_reseeded_copy_never_meets_its_origin(seed: int, other: int, used: int) -> None:
    assume(seed != other)
    parent, child = Ids(seed), Ids(seed)
    assert parent.many(used, 7) == child.many(used, 7)
    child.reseed(other)
    # Without the 32 random bits: the counts alone must part them.
    assert not {one[:12] for one in parent.many(500, 7)} & {one[:12] for one in child.many(500, 7)}


def test_the_standard_library_reads_them_as_version_seven() -> None:
    one = uuid.UUID(bytes=Ids(1).next(1_767_225_600_000))
    assert (one.version, one.variant, one.int >> 80) == (7, uuid.RFC_4122, 1_767_225_600_000)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_that_reseeds_gives_other_ids() -> None:
    ids = Ids(3)
    ids.many(10, 5)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        ids.reseed(4)
        os.write(writer, b"".join(ids.many(100, 5)))
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        theirs = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    assert len(theirs) == 1600
    assert not {theirs[at : at + 16] for at in range(0, 1600, 16)} & set(ids.many(100, 5))


@PROFILE
@given(
    st.integers(0, 1023),
    st.integers(-(2**40), 2**40),
    st.lists(st.tuples(st.integers(-(2**20), 2**40), st.integers(0, 3), st.booleans()), max_size=20),
)
def test_snowflakes_are_the_models(node: int, epoch: int, steps: list[tuple[int, int, bool]]) -> None:
    snowflake, model = Snowflake(node, epoch), Model(node, epoch)
    for offset, count, many in steps:
        now = epoch + offset
        if many:
            assert snowflake.many(count, now) == [model.next(now) for _ in range(count)]
        else:
            assert snowflake.next(now) == model.next(now)


def test_a_sequence_that_runs_over_borrows_from_the_future() -> None:
    snowflake = Snowflake(7, 0)
    ids = snowflake.many(10_000, 5)
    assert ids == sorted(set(ids))
    assert {one >> 22 for one in ids} == {5, 6, 7}
    assert {one >> 12 & 1023 for one in ids} == {7}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: Ids(-1), ValueError),
        (lambda: Ids(2**64), ValueError),
        (lambda: Ids("1"), TypeError),
        (lambda: Ids(1).next(-1), ValueError),
        (lambda: Ids(1).next(2**48), ValueError),
        (lambda: Ids(1).many(-1, 0), ValueError),
        (lambda: Ids(1).many(2**62, 0), ValueError),
        (lambda: Ids(1).next(1.0), TypeError),
        (lambda: Snowflake(1024), ValueError),
        (lambda: Snowflake(-1), ValueError),
        (lambda: Snowflake(0, 0).next(2**41), ValueError),
        (lambda: Snowflake(0, 0).many(2**62, 0), ValueError),
        (lambda: Snowflake(0, 2**64), ValueError),
    ],
)
def test_wrong_arguments_are_refused(call: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        call()
