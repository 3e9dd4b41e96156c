//! The histogram against the sorted values themselves.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use catga_core::{counters::Counters, histogram::Histogram};
use proptest::prelude::*;

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..600,
        any::<u64>(),
        (0_u32..64, 0_u32..64).prop_map(|(bits, less)| (u64::MAX >> bits).wrapping_sub(u64::from(less))),
        any::<u64>().prop_flat_map(|value| (0_u32..64).prop_map(move |bits| value >> bits)),
    ]
}

fn counted(values: &[u64]) -> Histogram {
    let mut histogram = Histogram::default();
    for &value in values {
        histogram.record(value);
    }
    histogram
}

fn near(said: u64, truth: u64) -> bool {
    said >= truth && u128::from(said) * 100 <= u128::from(truth) * 101
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 400 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn quantiles_are_at_most_one_per_cent_too_high(mut values in prop::collection::vec(value(), 1..200), q in 0.0..=1.0_f64) {
        let histogram = counted(&values);
        values.sort_unstable();
        let rank = ((q * values.len() as f64).ceil() as usize).max(1);
        let (said, truth) = (histogram.quantile(q), values[rank - 1]);
        prop_assert!(near(said, truth), "{} for {}", said, truth);
        prop_assert_eq!(histogram.count(), values.len() as u64);
        prop_assert_eq!(histogram.total(), values.iter().map(|&value| u128::from(value)).sum::<u128>());
        prop_assert_eq!(histogram.highest(), *values.last().unwrap());
        prop_assert_eq!(histogram.quantile(1.0), *values.last().unwrap());
    }

    #[test]
    fn merging_is_counting_together(mut left in prop::collection::vec(value(), 0..50), right in prop::collection::vec(value(), 0..50)) {
        let mut merged = counted(&left);
        merged.merge(&counted(&right));
        left.extend(right);
        let together = counted(&left);
        prop_assert!(merged.buckets().eq(together.buckets()));
        prop_assert_eq!(
            (merged.count(), merged.total(), merged.highest()),
            (together.count(), together.total(), together.highest())
        );
    }

    #[test]
    fn each_bucket_bounds_its_values(value in value()) {
        let buckets: Vec<_> = counted(&[value]).buckets().collect();
        prop_assert_eq!(buckets.len(), 1);
        prop_assert!(near(buckets[0].0, value) && buckets[0].1 == 1);
    }
}

#[test]
fn bounds_grow_from_zero_to_the_end_without_a_gap() {
    let mut histogram = Histogram::default();
    let (mut next, mut bounds) = (Some(0_u64), 0);
    // Each value is the first above the bound before: it opens a bucket of its own, or buckets overlap.
    while let Some(value) = next {
        histogram.record(value);
        bounds += 1;
        let (upper, count) = histogram.buckets().last().unwrap();
        assert!(count == 1 && near(upper, value));
        next = upper.checked_add(1);
    }
    assert_eq!((bounds, histogram.buckets().count()), (7_424, 7_424));
}

#[test]
fn an_empty_one_says_zero() {
    let mut histogram = counted(&[5]);
    histogram.reset();
    assert_eq!((histogram.quantile(0.5), histogram.highest(), histogram.count(), histogram.total()), (0, 0, 0, 0));
    assert_eq!(histogram.buckets().count(), 0);
}

#[test]
fn counters_count_from_all_threads_and_refuse_what_is_not_there() {
    let counters = Counters::new(2);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|_| assert!(counters.add(1, 2))));
        }
    });
    assert!(!counters.add(2, 1));
    assert_eq!(counters.read().collect::<Vec<_>>(), [0, 800]);
}
