//! The wheel against a sorted list.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use catga_core::wheel::Wheel;
use proptest::prelude::*;

/// (deadline, arrival, key, item), searched from end to end: too simple to be wrong.
#[derive(Default)]
struct Model {
    now: u64,
    arrivals: u64,
    pending: Vec<(u64, u64, u64, u32)>,
}

impl Model {
    fn insert(&mut self, deadline: u64, key: u64, item: u32) {
        self.arrivals += 1;
        self.pending.push((deadline, self.arrivals, key, item));
    }

    fn cancel(&mut self, key: u64) -> Option<u32> {
        let at = self.pending.iter().position(|timer| timer.2 == key)?;
        Some(self.pending.remove(at).3)
    }

    fn reset(&mut self, key: u64, deadline: u64) -> bool {
        self.cancel(key).map(|item| self.insert(deadline, key, item)).is_some()
    }

    fn drain(&mut self, now: u64) -> Vec<u32> {
        self.now = self.now.max(now);
        self.pending.sort_unstable();
        let due = self.pending.partition_point(|timer| timer.0 <= self.now);
        self.pending.drain(..due).map(|timer| timer.3).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(i64),
    Again,
    Cancel(usize),
    Reset(usize, i64),
    Drain(i64),
    ToNext,
    Clear,
}

/// Distances that meet every level, the slots' edges, the far list and the past.
fn distance() -> impl Strategy<Value = i64> {
    prop_oneof![
        -100_i64..200,
        0_i64..70_000,
        0_i64..300_000_000,
        (0_u32..43, -2_i64..3).prop_map(|(bits, near)| (1_i64 << bits) + near),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => distance().prop_map(Step::Insert),
        2 => Just(Step::Again),
        2 => any::<usize>().prop_map(Step::Cancel),
        2 => (any::<usize>(), distance()).prop_map(|(which, far)| Step::Reset(which, far)),
        3 => distance().prop_map(Step::Drain),
        2 => Just(Step::ToNext),
        1 => Just(Step::Clear),
    ]
}

/// Starts around which the groups of bits turn over, all of them at once too.
fn start() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1_700_000_000_000),
        Just((1 << 63) - 3),
        Just((1 << 36) - 5),
        any::<u64>().prop_map(|start| start / 2),
        Just(u64::MAX - 100)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 2_000 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_a_sorted_list(start in start(), steps in prop::collection::vec(step(), 1..120)) {
        let mut wheel = Wheel::new(start);
        let mut model = Model { now: start, ..Model::default() };
        let mut keys = vec![0];
        let mut last = start;
        for (item, step) in (0_u32..).zip(steps) {
            match step {
                Step::Insert(_) | Step::Again => {
                    if let Step::Insert(distance) = step {
                        last = model.now.saturating_add_signed(distance);
                    }
                    let key = wheel.insert(last, item).unwrap();
                    prop_assert!(!keys.contains(&key), "a key came back");
                    keys.push(key);
                    model.insert(last, key, item);
                }
                Step::Cancel(which) => {
                    let key = keys[which % keys.len()];
                    prop_assert_eq!(wheel.cancel(key), model.cancel(key));
                }
                Step::Reset(which, distance) => {
                    let (key, to) = (keys[which % keys.len()], model.now.saturating_add_signed(distance));
                    prop_assert_eq!(wheel.reset(key, to), model.reset(key, to));
                }
                Step::Drain(distance) => {
                    let now = model.now.saturating_add_signed(distance);
                    prop_assert_eq!(wheel.drain(now), model.drain(now));
                }
                Step::ToNext => if let Some(now) = wheel.next_deadline() {
                    prop_assert_eq!(wheel.drain(now), model.drain(now));
                },
                Step::Clear => prop_assert_eq!(wheel.clear(), {
                    let now = model.now;
                    let all = model.drain(u64::MAX);
                    model.now = now;
                    all
                }),
            }
            prop_assert_eq!(wheel.len(), model.pending.len());
            prop_assert_eq!(wheel.is_empty(), model.pending.is_empty());
            prop_assert_eq!(wheel.next_deadline(), model.pending.iter().map(|timer| timer.0).min());
            let mut items: Vec<u32> = wheel.items().copied().collect();
            let mut expected: Vec<u32> = model.pending.iter().map(|timer| timer.3).collect();
            items.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(items, expected);
        }
        prop_assert_eq!(wheel.drain(u64::MAX), model.drain(u64::MAX));
    }
}

#[test]
fn equal_deadlines_fire_in_order_of_arrival_from_every_level_and_both_other_lists() {
    for distance in [0, 1, 63, 64, 4_095, 4_096, 262_144, 1 << 24, 1 << 30, 1 << 36, 1 << 50] {
        let mut wheel = Wheel::new(1_000_000);
        let deadline = 1_000_000 + distance;
        for item in 0..10 {
            // Time goes on between them, so that they enter at levels that differ.
            if distance > 0 {
                wheel.drain(1_000_000 + distance * item / 11);
            }
            wheel.insert(deadline, item).unwrap();
        }
        assert_eq!(wheel.drain(deadline), (0..10).collect::<Vec<_>>(), "{distance}");
    }
}

#[test]
fn a_stale_earliest_of_the_far_list_costs_no_order() {
    let (near, far) = (1 << 37, 1 << 40);
    let mut wheel = Wheel::new(0);
    let key = wheel.insert(near, 'a').unwrap();
    wheel.insert(far, 'b').unwrap();
    assert_eq!(wheel.cancel(key), Some('a'));
    assert_eq!(wheel.drain(near + 5), []);
    wheel.insert(near + 6, 'c').unwrap();
    assert_eq!(wheel.next_deadline(), Some(near + 6));
    assert_eq!(wheel.drain(far), ['c', 'b']);
}

#[test]
fn places_are_used_again() {
    let mut wheel = Wheel::new(0);
    let mut seen = std::collections::HashSet::new();
    for round in 1..=200 {
        for item in 0..100 {
            let key = wheel.insert(round + item, item).unwrap();
            assert!(key & 0xFFFF_FFFF < 200, "the vector grows though places are free");
            assert!(seen.insert(key));
        }
        wheel.drain(round);
        wheel.clear();
    }
}
