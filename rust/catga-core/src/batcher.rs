//! Batches that close by count, by bytes, or by the age of their oldest item.
//!
//! The age is counted from the first item and never restarted by a later one: under steady traffic a batch is as late as
//! one under no traffic. A batch exceeds the bytes only when it is one item that does so alone.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// A batch: one run per key, in the order of their first items.
pub type Runs<T> = Vec<Vec<T>>;

struct Open<T> {
    runs: Runs<T>,
    /// The run of each key, with the key's hash, so that growing does not hash again.
    index: HashTable<(u64, Box<[u8]>, usize)>,
    loose: Option<usize>,
    since_ms: u64,
    count: usize,
    bytes: u64,
}

impl<T> Open<T> {
    fn new() -> Self {
        Self { runs: Vec::new(), index: HashTable::new(), loose: None, since_ms: 0, count: 0, bytes: 0 }
    }

    fn run(&mut self, key: Option<&[u8]>, hasher: &DefaultHashBuilder) -> usize {
        let fresh = self.runs.len();
        let Some(key) = key else { return *self.loose.get_or_insert(fresh) };
        let hash = hasher.hash_one(key);
        if let Some((_, _, run)) = self.index.find(hash, |(_, other, _)| **other == *key) {
            return *run;
        }
        self.index.insert_unique(hash, (hash, key.into(), fresh), |(hash, _, _)| *hash);
        fresh
    }

    fn add(&mut self, item: T, run: usize) {
        match self.runs.get_mut(run) {
            Some(run) => run.push(item),
            None => self.runs.push(vec![item]),
        }
    }

    fn close(&mut self) -> Runs<T> {
        self.index.clear();
        self.loose = None;
        self.count = 0;
        self.bytes = 0;
        std::mem::take(&mut self.runs)
    }
}

/// See the module's description.
pub struct Batcher<T> {
    count: usize,
    bytes: u64,
    age_ms: u64,
    open: Open<T>,
    closed: VecDeque<Runs<T>>,
    len: usize,
    hasher: DefaultHashBuilder,
}

impl<T> Batcher<T> {
    /// A `count` or `bytes` of 0 is taken for 1.
    pub fn new(count: usize, bytes: u64, age_ms: u64) -> Self {
        Self {
            count: count.max(1),
            bytes: bytes.max(1),
            age_ms,
            open: Open::new(),
            closed: VecDeque::new(),
            len: 0,
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// True when a batch is ready to take.
    pub fn add(&mut self, item: T, bytes: u64, key: Option<&[u8]>, now_ms: u64) -> bool {
        if self.aged(now_ms) || (self.open.count > 0 && self.open.bytes.saturating_add(bytes) > self.bytes) {
            self.close();
        }
        if self.open.count == 0 {
            self.open.since_ms = now_ms;
        }
        let run = self.open.run(key, &self.hasher);
        self.open.add(item, run);
        self.open.count += 1;
        self.open.bytes = self.open.bytes.saturating_add(bytes);
        self.len += 1;
        if self.open.count >= self.count || self.open.bytes >= self.bytes || self.aged(now_ms) {
            self.close();
        }
        !self.closed.is_empty()
    }

    /// The oldest closed batch; with `force` the open one where none is closed.
    pub fn take(&mut self, now_ms: u64, force: bool) -> Option<Runs<T>> {
        if self.aged(now_ms) || (force && self.closed.is_empty() && self.open.count > 0) {
            self.close();
        }
        let runs = self.closed.pop_front()?;
        self.len -= runs.iter().map(Vec::len).sum::<usize>();
        Some(runs)
    }

    /// When the open batch closes by age; None when it is empty.
    pub fn deadline(&self) -> Option<u64> {
        (self.open.count > 0).then(|| self.open.since_ms.saturating_add(self.age_ms))
    }

    /// Everything added and not yet taken.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether everything was taken.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Everything not yet taken, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.closed.iter().flatten().chain(&self.open.runs).flatten()
    }

    /// Everything not yet taken, out of the batcher.
    pub fn clear(&mut self) -> Vec<Runs<T>> {
        let mut left: Vec<Runs<T>> = std::mem::take(&mut self.closed).into();
        left.push(self.open.close());
        self.len = 0;
        left
    }

    fn aged(&self, now_ms: u64) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now_ms)
    }

    fn close(&mut self) {
        let runs = self.open.close();
        self.closed.push_back(runs);
    }
}
