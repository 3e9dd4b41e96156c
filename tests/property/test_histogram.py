"""The histogram against the values themselves and against its Python twin; the counters against a list."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.models.histogram import Histogram as Model
from tests.property.models.histogram import Values

from catga._core import Counters, Histogram

VALUE = st.one_of(
    st.integers(0, 600),
    st.integers(0, 2**64 - 1),
    st.builds(lambda bits, near: max((1 << bits) + near, 0), st.integers(0, 63), st.integers(-2, 2)),
)
PROFILE = settings(max_examples=200, deadline=None)


def counted(values: list[int]) -> tuple[Histogram, Model]:
    histogram, model = Histogram(), Model()
    for value in values:
        histogram.record(value)
        model.record(value)
    return histogram, model


def same(histogram: Histogram, model: Model) -> bool:
    said = (histogram.buckets(), histogram.count, histogram.total, histogram.highest)
    return said == (model.buckets(), model.count, model.total, model.highest)


@PROFILE
@given(st.lists(VALUE, max_size=60), st.floats(0, 1))
def test_a_quantile_is_at_most_one_per_cent_too_high(values: list[int], q: float) -> None:
    histogram, model = counted(values)
    assert same(histogram, model)
    truth = Values()
    truth.values = values
    said, true = histogram.quantile(q), truth.quantile(q)
    assert true <= said
    assert said * 100 <= true * 101


@PROFILE
@given(st.lists(VALUE, max_size=30), st.lists(VALUE, max_size=30))
def test_merging_is_counting_together(left: list[int], right: list[int]) -> None:
    merged = counted(left)[0]
    merged.merge(counted(right)[0])
    assert same(merged, counted(left + right)[1])
    together = Histogram()
    together.record_many(tuple(left))
    together.record_many(right)
    assert together.buckets() == merged.buckets()


def test_one_merges_into_itself() -> None:
    histogram, _ = counted([1, 2])
    histogram.merge(histogram)
    assert same(histogram, counted([1, 2, 1, 2])[1])


def test_one_that_doubled_beyond_64_bits_stays_at_the_top() -> None:
    histogram, _ = counted([1, 2**64 - 1])
    for _ in range(130):
        histogram.merge(histogram)
    histogram.record(7)
    assert (histogram.count, histogram.total) == (2**64 - 1, 2**128 - 1)
    assert histogram.quantile(0) == 1


def test_a_reset_one_is_empty() -> None:
    histogram, _ = counted([1, 2**63])
    histogram.reset()
    assert same(histogram, Model())
    assert histogram.quantile(0.5) == 0


def test_the_total_outgrows_64_bits() -> None:
    histogram, model = counted([2**64 - 1] * 3)
    assert histogram.total == model.total == 3 * (2**64 - 1)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda histogram: histogram.record(-1), ValueError),
        (lambda histogram: histogram.record(2**64), ValueError),
        (lambda histogram: histogram.record(1.5), TypeError),
        (lambda histogram: histogram.record_many([1, -1]), ValueError),
        (lambda histogram: histogram.quantile(1.1), ValueError),
        (lambda histogram: histogram.quantile(float("nan")), ValueError),
        (lambda histogram: histogram.merge(Model()), TypeError),
        (lambda _: Counters(-1), ValueError),
        (lambda _: Counters(2**40), ValueError),
        (lambda _: Counters(3).add(3), IndexError),
        (lambda _: Counters(3).add(0, -1), ValueError),
    ],
)
def test_wrong_arguments_are_refused_and_change_nothing(call: object, error: type[Exception]) -> None:
    histogram = Histogram()
    with pytest.raises(error):
        call(histogram)
    assert histogram.count == 0


def test_counters_count_from_all_threads() -> None:
    counters = Counters(3)
    workers = [threading.Thread(target=lambda: [counters.add(1, 2) for _ in range(500)]) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    counters.add(2)
    assert counters.read() == [0, 4000, 1]
