//! A fixed row of counters that any thread may add to.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters by index; each wraps at 2^64. Relaxed: they order nothing but themselves.
#[derive(Debug)]
pub struct Counters(Box<[AtomicU64]>);

impl Counters {
    /// `size` counters at 0.
    pub fn new(size: usize) -> Self {
        Self((0..size).map(|_| AtomicU64::new(0)).collect())
    }

    /// Adds to one; false where there is none of that index.
    pub fn add(&self, index: usize, amount: u64) -> bool {
        self.0.get(index).map(|counter| counter.fetch_add(amount, Ordering::Relaxed)).is_some()
    }

    /// All of them, each as it is when its turn comes.
    pub fn read(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.0.iter().map(|counter| counter.load(Ordering::Relaxed))
    }
}
