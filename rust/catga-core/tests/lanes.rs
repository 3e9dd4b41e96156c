//! The lanes against a model that looks at everything each time.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod lanes_model;

use catga_core::lanes::{Lanes, Policy, Priority, Put, Ranking};
use lanes_model::Model;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Put(Option<u8>, u8, u64),
    Many(Vec<(Option<u8>, u8)>, u64),
    Drain(usize, u64),
    Done(u8),
    Clear,
}

fn key() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![2 => Just(None), 3 => (0u8..4).prop_map(Some)]
}

fn step() -> impl Strategy<Value = Step> {
    let many = proptest::collection::vec((key(), 0u8..8), 0..6);
    prop_oneof![
        10 => (key(), 0u8..8, 0u64..120).prop_map(|(key, priority, later)| Step::Put(key, priority, later)),
        2 => (many, 0u64..120).prop_map(|(rows, later)| Step::Many(rows, later)),
        4 => (0usize..5, 0u64..120).prop_map(|(most, later)| Step::Drain(most, later)),
        5 => (0u8..5).prop_map(Step::Done),
        1 => Just(Step::Clear),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let dropping = Just(Policy::DropOldest);
    prop_oneof![Just(Policy::Block), Just(Policy::Reject), Just(Policy::DropNewest), dropping, dropping]
}

fn ranking() -> impl Strategy<Value = Ranking> {
    prop_oneof![Just(Ranking::Strict), (1u64..200).prop_map(Ranking::Aged), Just(Ranking::Aged(u64::MAX))]
}

fn priority(value: u8) -> Priority {
    Priority::new(value).unwrap()
}

/// (accepted, what was dropped, what stays with the caller).
fn flat<T>(put: Put<T>) -> (bool, Vec<T>, Vec<T>) {
    match put {
        Put::Accepted => (true, vec![], vec![]),
        Put::Replaced(old) => (true, vec![old], vec![]),
        Put::Refused(item) => (false, vec![], vec![item]),
        Put::Dropped(item) => (false, vec![item], vec![]),
    }
}

fn agree(lanes: &Lanes<u32>, model: &Model) {
    let now = lanes.statistics();
    assert_eq!((now.queued, now.ready, now.in_flight), (model.queued.len(), model.ready.len(), model.in_flight.len()));
    assert_eq!((lanes.len(), lanes.ready(), lanes.is_empty()), (now.queued, now.ready, now.queued == 0));
    assert_eq!(now.by_priority, model.by_priority());
    assert_eq!(now.oldest_ms, model.oldest_ms());
    let counts = (now.counts.accepted, now.counts.rejected, now.counts.dropped, now.counts.drained);
    assert_eq!(counts, (model.accepted, model.rejected, model.dropped, model.drained));
    let mut held: Vec<u32> = lanes.iter().copied().collect();
    held.sort_unstable();
    assert_eq!(held, model.queued.iter().map(|row| row.item).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn lanes_do_what_the_model_does(
        capacity in 1usize..12,
        policy in policy(),
        ranking in ranking(),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut lanes = Lanes::new(capacity, policy, ranking);
        let mut model = Model::new(capacity, policy, ranking);
        let (mut now, mut item) = (0, 0);
        for step in steps {
            match step {
                Step::Put(key, level, later) => {
                    now += later;
                    item += 1;
                    let name = key.map(|key| vec![key; usize::from(key) * 20]);
                    let put = flat(lanes.put(item, name.as_deref(), priority(level), now));
                    prop_assert_eq!(put, model.put(item, key, level, now));
                }
                Step::Many(rows, later) => {
                    now += later;
                    let names: Vec<_> = rows.iter().map(|(key, _)| key.map(|key| vec![key; usize::from(key) * 20])).collect();
                    let first = item + 1;
                    item += u32::try_from(rows.len()).unwrap();
                    let given = (first..).zip(&names).zip(&rows);
                    let given = given.map(|((item, name), (_, level))| (item, name.as_deref(), priority(*level)));
                    let batch = lanes.put_many(given, now);
                    model.observe(now);
                    let (mut accepted, mut dropped, mut refused) = (0, vec![], vec![]);
                    for (item, (key, level)) in (first..).zip(&rows) {
                        let (yes, gone, back) = model.put(item, *key, *level, now);
                        accepted += usize::from(yes);
                        dropped.extend(gone);
                        refused.extend(back);
                    }
                    prop_assert_eq!((batch.accepted, batch.dropped, batch.refused), (accepted, dropped, refused));
                }
                Step::Drain(most, later) => {
                    now += later;
                    prop_assert_eq!(lanes.drain(most, now), model.drain(most, now));
                }
                Step::Done(key) => {
                    prop_assert_eq!(lanes.done(&vec![key; usize::from(key) * 20]), model.done(key));
                }
                Step::Clear => prop_assert_eq!(lanes.clear(), model.clear()),
            }
            agree(&lanes, &model);
        }
    }

    /// The bound that the module promises, told without the model: an item of priority p, ready at t, is overtaken by
    /// nothing put at t + p * aging or later, even when urgent work never stops coming.
    #[test]
    fn nothing_starves(aging in 1u64..50, late in proptest::collection::vec((1u8..8, 0u64..400), 1..20)) {
        let mut lanes = Lanes::new(10_000, Policy::Block, Ranking::Aged(aging));
        let mut left: Vec<(u64, u8)> = Vec::new();
        for now in 0..1_000 {
            lanes.put((now, 0), None, priority(0), now);
            for &(level, _) in late.iter().filter(|(_, at)| *at == now) {
                lanes.put((now, level), None, priority(level), now);
            }
            left.extend(lanes.drain(1, now));
        }
        left.extend(lanes.drain(10_000, 1_000));
        prop_assert_eq!(left.len(), 1_000 + late.len());
        for (at, &(ready, level)) in left.iter().enumerate() {
            let last = ready + u64::from(level) * aging;
            prop_assert!(left[..at].iter().all(|&(other, _)| other < last.max(ready + 1)));
        }
    }
}

#[test]
fn a_clock_that_steps_back_changes_no_order() {
    let mut lanes = Lanes::new(10, Policy::Block, Ranking::Aged(10));
    lanes.put(1, None, priority(3), 1_000);
    lanes.put(2, None, priority(3), 10);
    lanes.put(3, None, priority(3), u64::MAX);
    assert_eq!(lanes.drain(10, 0), [1, 2, 3]);
}

#[test]
fn keys_take_turns() {
    let mut lanes = Lanes::new(10, Policy::Block, Ranking::Strict);
    for item in 0..3 {
        lanes.put(item, Some(b"busy"), priority(0), 0);
    }
    lanes.put(10, Some(b"calm"), priority(0), 0);
    assert_eq!(lanes.drain(10, 0), [0, 10]);
    assert!(lanes.done(b"busy"));
    assert!(!lanes.done(b"busy"), "it is not in flight any more");
    assert!(!lanes.done(b"calm"));
    assert_eq!(lanes.drain(10, 0), [1]);
}

#[test]
fn a_burst_of_items_or_keys_leaves_the_lanes_usable() {
    let mut lanes = Lanes::new(1 << 20, Policy::Block, Ranking::Strict);
    for round in 0..2 {
        let keys: Vec<_> = (0..70_000u32).map(u32::to_le_bytes).collect();
        for (item, key) in (0..).zip(&keys) {
            lanes.put(item, (item % 2 == 0).then_some(&key[..]), priority(round), 0);
        }
        assert_eq!(lanes.drain(70_000, 0), (0..70_000).collect::<Vec<_>>());
        for key in keys.iter().step_by(2) {
            assert!(!lanes.done(key));
        }
        assert_eq!(lanes.statistics().in_flight, 0);
    }
}
