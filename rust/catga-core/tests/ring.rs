//! The ring against a deque, and under real threads.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use catga_core::ring::{Refused, Ring};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Push,
    Drain(usize),
    Close,
    Disarm,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => Just(Step::Push),
        8 => (0usize..6).prop_map(Step::Drain),
        1 => Just(Step::Close),
        1 => Just(Step::Disarm),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_ring_does_what_a_deque_does(
        capacity in 1usize..9,
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let ring = Ring::new(capacity);
        let mut model = VecDeque::new();
        let (mut armed, mut closed) = (false, false);
        for (item, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push => {
                    let expected = match (closed, model.len() == capacity) {
                        (true, _) => Err(Refused::Closed(item)),
                        (false, true) => Err(Refused::Full(item)),
                        (false, false) => {
                            model.push_back(item);
                            Ok(!std::mem::replace(&mut armed, true))
                        }
                    };
                    prop_assert_eq!(ring.push(item), expected);
                }
                Step::Drain(most) => {
                    let expected: Vec<usize> = model.drain(..most.min(model.len())).collect();
                    if most > 0 {
                        armed = expected.len() == most;
                    }
                    prop_assert_eq!(ring.drain(most), expected);
                }
                Step::Close => {
                    closed = true;
                    ring.close();
                }
                Step::Disarm => {
                    armed = false;
                    ring.disarm();
                }
            }
            let mut held = vec![];
            prop_assert!(ring.for_each(|item| held.push(*item)));
            prop_assert_eq!(held, model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!((ring.len(), ring.is_closed(), ring.is_empty()), (model.len(), closed, model.is_empty()));
            prop_assert_eq!(ring.capacity(), capacity);
        }
    }
}

#[test]
fn producers_keep_their_order_and_every_wake_is_answered() {
    const EACH: usize = 20_000;
    let ring = Ring::new(64);
    let (wakes, producers) = (AtomicUsize::new(0), 4);
    let mut seen = [0; 4];
    let mut drains = 0;
    thread::scope(|scope| {
        for producer in 0..producers {
            let (ring, wakes) = (&ring, &wakes);
            scope.spawn(move || {
                for item in 0..EACH {
                    let wake = loop {
                        match ring.push((producer, item)) {
                            Ok(wake) => break wake,
                            Err(_) => thread::yield_now(),
                        }
                    };
                    wakes.fetch_add(usize::from(wake), Ordering::SeqCst);
                }
            });
        }
        // Only a wake, or the promise of a full drain, lets the consumer look: a lost one would hang the test.
        let mut answered = 0;
        while seen.iter().sum::<usize>() < producers * EACH {
            if wakes.load(Ordering::SeqCst) == answered {
                thread::yield_now();
                continue;
            }
            answered += 1;
            loop {
                let batch = ring.drain(16);
                drains += 1;
                for (producer, item) in &batch {
                    assert_eq!(seen[*producer], *item);
                    seen[*producer] += 1;
                }
                if batch.len() < 16 {
                    break;
                }
            }
        }
    });
    assert!(wakes.load(Ordering::SeqCst) <= drains + 1);
}

#[test]
fn what_was_not_drained_is_dropped_with_the_ring() {
    let item = std::sync::Arc::new(());
    let ring = Ring::new(3);
    for _ in 0..4 {
        let _ = ring.push(item.clone());
    }
    assert_eq!(ring.drain(1).len(), 1);
    drop(ring);
    assert_eq!(std::sync::Arc::strong_count(&item), 1);
}
