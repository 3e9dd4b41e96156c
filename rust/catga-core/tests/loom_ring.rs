//! The ring under every interleaving that loom can find.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo test --release -p catga-core --test loom_ring --target-dir target/loom`
#![cfg(loom)]
#![allow(clippy::unwrap_used, missing_docs)]

use catga_core::ring::{Refused, Ring};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

/// Wakes are counted relaxed, which is stricter than any real messenger: the ring itself has to make the items visible.
struct Rig {
    ring: Ring<usize>,
    wakes: AtomicUsize,
}

impl Rig {
    fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { ring: Ring::new(capacity), wakes: AtomicUsize::new(0) })
    }

    fn push(&self, item: usize) -> bool {
        match self.ring.push(item) {
            Ok(wake) => {
                self.wakes.fetch_add(usize::from(wake), Ordering::Relaxed);
                true
            }
            Err(Refused::Full(_) | Refused::Closed(_)) => false,
        }
    }

    /// What a loop does when called: drains until less than `most` came back.
    fn answer(&self, most: usize, into: &mut Vec<usize>) {
        loop {
            let batch = self.ring.drain(most);
            let promised = batch.len() == most;
            into.extend(batch);
            if !promised {
                return;
            }
        }
    }
}

fn producer(rig: &Arc<Rig>, items: &'static [usize]) -> thread::JoinHandle<usize> {
    let rig = rig.clone();
    thread::spawn(move || items.iter().filter(|item| rig.push(**item)).count())
}

#[test]
fn nothing_is_lost_or_doubled_or_reordered() {
    loom::model(|| {
        let rig = Rig::new(2);
        let producers = [producer(&rig, &[10, 11]), producer(&rig, &[20])];
        let mut got = rig.ring.drain(2);
        let pushed: usize = producers.map(|thread| thread.join().unwrap()).iter().sum();
        got.extend(rig.ring.drain(3));
        assert_eq!(got.len(), pushed);
        assert!(pushed >= 2, "two places, and a refusal only when both are taken");
        let first: Vec<usize> = got.iter().copied().filter(|item| *item < 20).collect();
        assert!([&[10, 11][..], &[10], &[11], &[]].contains(&first.as_slice()));
    });
}

#[test]
fn a_single_slot_tells_free_from_filled() {
    loom::model(|| {
        let rig = Rig::new(1);
        let other = producer(&rig, &[1, 2]);
        let mut got = rig.ring.drain(1);
        let pushed = other.join().unwrap();
        got.extend(rig.ring.drain(2));
        assert_eq!(got.len(), pushed);
        assert!(got.is_sorted());
    });
}

/// The consumer looks only when it was woken, and joins nobody: a join would show it what the ring has to show. An item
/// left unannounced keeps it waiting until loom gives up.
fn no_lost_wake(most: usize) {
    loom::model(move || {
        let rig = Rig::new(4);
        let producers = [producer(&rig, &[1, 2]), producer(&rig, &[3])];
        let (mut got, mut answered) = (vec![], 0);
        while got.len() < 3 {
            if rig.wakes.load(Ordering::Relaxed) > answered {
                answered += 1;
                rig.answer(most, &mut got);
            } else {
                thread::yield_now();
            }
        }
        for thread in producers {
            thread.join().unwrap();
        }
        assert!(rig.ring.drain(1).is_empty());
    });
}

#[test]
fn no_wake_is_lost_when_a_drain_takes_all() {
    no_lost_wake(3);
}

#[test]
fn no_wake_is_lost_when_a_drain_stops_early() {
    no_lost_wake(1);
}

#[test]
fn a_wake_is_given_once_a_batch() {
    loom::model(|| {
        let rig = Rig::new(4);
        let producers = [producer(&rig, &[1]), producer(&rig, &[2])];
        let drained = rig.ring.drain(4).len();
        for thread in producers {
            thread.join().unwrap();
        }
        let wakes = rig.wakes.load(Ordering::Relaxed);
        assert!((1..=2).contains(&wakes), "one drain allows one more wake than there was before it");
        assert!(drained + rig.ring.drain(4).len() == 2);
    });
}

#[test]
fn a_push_that_succeeded_beside_a_close_can_be_drained() {
    loom::model(|| {
        let rig = Rig::new(2);
        let other = producer(&rig, &[1, 2]);
        rig.ring.close();
        let mut got = rig.ring.drain(3);
        let promised = rig.ring.len();
        let pushed = other.join().unwrap();
        got.extend(rig.ring.drain(3));
        assert_eq!(got.len(), pushed);
        assert!(promised + got.len() >= pushed, "what was reserved before the close is counted at once");
        assert_eq!(rig.ring.push(9), Err(Refused::Closed(9)));
    });
}

#[test]
fn walking_sees_only_what_is_published() {
    loom::model(|| {
        let rig = Rig::new(2);
        let other = producer(&rig, &[1, 2]);
        let mut seen = vec![];
        assert!(rig.ring.for_each(|item| seen.push(*item)));
        assert!([&[][..], &[1], &[1, 2]].contains(&seen.as_slice()));
        other.join().unwrap();
    });
}
