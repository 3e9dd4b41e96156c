//! The batcher against a model of plain lists.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use catga_core::batcher::Batcher;
use proptest::prelude::*;

type Row = (u32, u64, Option<u8>);

struct Model {
    count: usize,
    bytes: u64,
    age_ms: u64,
    closed: Vec<Vec<Row>>,
    open: Vec<Row>,
    since_ms: u64,
}

impl Model {
    fn add(&mut self, item: u32, bytes: u64, key: Option<u8>, now_ms: u64) -> bool {
        self.close_if(self.aged(now_ms) || (!self.open.is_empty() && self.held() + bytes > self.bytes));
        if self.open.is_empty() {
            self.since_ms = now_ms;
        }
        self.open.push((item, bytes, key));
        self.close_if(self.open.len() == self.count || self.held() >= self.bytes || self.aged(now_ms));
        !self.closed.is_empty()
    }

    fn take(&mut self, now_ms: u64, force: bool) -> Option<Vec<Vec<u32>>> {
        self.close_if(self.aged(now_ms));
        self.close_if(force && self.closed.is_empty() && !self.open.is_empty());
        if self.closed.is_empty() { None } else { Some(runs(&self.closed.remove(0))) }
    }

    fn deadline(&self) -> Option<u64> {
        if self.open.is_empty() { None } else { Some(self.since_ms + self.age_ms) }
    }

    fn held(&self) -> u64 {
        self.open.iter().map(|row| row.1).sum()
    }

    fn aged(&self, now_ms: u64) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now_ms)
    }

    fn close_if(&mut self, whether: bool) {
        if whether {
            self.closed.push(std::mem::take(&mut self.open));
        }
    }
}

fn runs(batch: &[Row]) -> Vec<Vec<u32>> {
    let mut keys: Vec<Option<u8>> = vec![];
    for row in batch {
        if !keys.contains(&row.2) {
            keys.push(row.2);
        }
    }
    let of = |key: &Option<u8>| batch.iter().filter(|row| row.2 == *key).map(|row| row.0).collect();
    keys.iter().map(of).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Add(u64, Option<u8>, u64),
    Take(bool, u64),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let key = prop_oneof![Just(None), (0u8..3).prop_map(Some)];
    prop_oneof![
        9 => (0u64..40, key, 0u64..30).prop_map(|(bytes, key, later)| Step::Add(bytes, key, later)),
        3 => (any::<bool>(), 0u64..60).prop_map(|(force, later)| Step::Take(force, later)),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_batcher_does_what_the_model_does(
        count in 1usize..8,
        bytes in 1u64..120,
        age_ms in 0u64..100,
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut batcher = Batcher::new(count, bytes, age_ms);
        let mut model = Model { count, bytes, age_ms, closed: vec![], open: vec![], since_ms: 0 };
        let mut now = 0;
        for (item, step) in (0..).zip(steps) {
            match step {
                Step::Add(bytes, key, later) => {
                    now += later;
                    let name = key.map(|key| vec![key; usize::from(key)]);
                    prop_assert_eq!(batcher.add(item, bytes, name.as_deref(), now), model.add(item, bytes, key, now));
                }
                Step::Take(force, later) => {
                    now += later;
                    prop_assert_eq!(batcher.take(now, force), model.take(now, force));
                }
                Step::Clear => {
                    model.close_if(true);
                    let mut expected: Vec<u32> = model.closed.drain(..).flatten().map(|row| row.0).collect();
                    expected.sort_unstable();
                    let mut cleared: Vec<u32> = batcher.clear().into_iter().flatten().flatten().collect();
                    cleared.sort_unstable();
                    prop_assert_eq!(cleared, expected);
                }
            }
            prop_assert_eq!(batcher.deadline(), model.deadline());
            prop_assert_eq!(batcher.len(), model.open.len() + model.closed.iter().map(Vec::len).sum::<usize>());
            prop_assert_eq!(batcher.iter().count(), batcher.len());
            prop_assert_eq!(batcher.is_empty(), model.deadline().is_none() && model.closed.is_empty());
        }
    }
}

#[test]
fn a_later_item_does_not_restart_the_age() {
    let mut batcher = Batcher::new(100, 1_000, 50);
    assert!(!batcher.add(1, 1, None, 10));
    assert!(!batcher.add(2, 1, None, 59));
    assert_eq!(batcher.deadline(), Some(60));
    assert_eq!(batcher.take(59, false), None);
    assert_eq!(batcher.take(60, false), Some(vec![vec![1, 2]]));
}
