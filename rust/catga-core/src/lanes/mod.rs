//! Dispatch lanes: one structure that bounds what is queued, ranks it, and keeps one item in flight per key.
//!
//! # Order
//!
//! An item without a key is ready when it is put. A keyed item is ready once it heads its key's lane and nothing of that
//! key is in flight; so a lane ranks by its head, and one that becomes ready again goes behind what is ready already:
//! keys take turns, and a busy key cannot hold the level.
//!
//! Strict: lower priorities first, the longest ready first within one. Aged: whatever has the earliest
//! `ready since + priority * aging` first, the longest ready among equals, which lets an item rise one level per `aging`
//! waited. The sum does not change as time passes, so a level's longest ready item is also its first, and a choice looks at
//! eight heads whatever the depth.
//!
//! # Bound
//!
//! Aged, an item of priority `p` that became ready at `t` is overtaken by nothing that becomes ready at `t + p * aging` or
//! later: it leaves after at most what was queued by then.
//!
//! # Overflow
//!
//! `DropOldest` gives up the oldest queued item of the least urgent priority, wherever it stands, by the priority it was
//! put with. A newcomer less urgent than everything queued is that item itself: a flood of idle work never evicts
//! urgent work. A lane that loses its head keeps its place where the next has the same priority, and otherwise ranks anew.
//!
//! Nothing in here drops an item: each one leaves through a result, because dropping may run the owner's code.

mod level;
mod list;
mod overflow;
mod rank;
mod slab;
mod stamp;
mod statistics;

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use level::{Front, Lane, Level, Loose, Node, level, level_mut};
pub use level::{LEVELS, Priority};
pub use overflow::{Batch, Policy, Put};
pub use rank::Ranking;
use rank::Ranks;
use slab::{KEEP, NIL, Slab};
use stamp::{Stamp, Stamps};
use statistics::Counts;
pub use statistics::Statistics;

/// The most that may be queued: places are named by 32 bits.
pub const MOST_CAPACITY: usize = (NIL - 1) as usize;

/// See the module's description.
pub struct Lanes<T> {
    levels: [Level<T>; LEVELS],
    ranks: Ranks,
    ready: usize,
    queued: usize,
    capacity: usize,
    policy: Policy,
    stamps: Stamps,
    nodes: Slab<Node<T>>,
    keys: Slab<Lane>,
    /// Where each key is in `keys`.
    index: HashTable<u32>,
    /// Seeded anew for each `Lanes`: keys come from outside, and nothing visible depends on it.
    hasher: DefaultHashBuilder,
    in_flight: usize,
    counts: Counts,
}

impl<T> Lanes<T> {
    /// `capacity` bounds what is queued, not what is in flight; it is held within 1 and [`MOST_CAPACITY`].
    pub fn new(capacity: usize, policy: Policy, ranking: Ranking) -> Self {
        Self {
            levels: [const { Level::new() }; LEVELS],
            ranks: Ranks::new(ranking),
            ready: 0,
            queued: 0,
            capacity: capacity.clamp(1, MOST_CAPACITY),
            policy,
            stamps: Stamps::new(),
            nodes: Slab::new(),
            keys: Slab::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            in_flight: 0,
            counts: Counts::default(),
        }
    }

    /// How many items are queued, ready or not.
    pub fn len(&self) -> usize {
        self.queued
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.queued == 0
    }

    /// How many items a drain could give now.
    pub fn ready(&self) -> usize {
        self.ready
    }

    /// Queues an item, or does what the policy says when there is no room.
    pub fn put(&mut self, item: T, key: Option<&[u8]>, priority: Priority, now_ms: u64) -> Put<T> {
        self.stamps.observe(now_ms);
        self.admit(item, key, priority)
    }

    /// As [`Self::put`], one after the other.
    pub fn put_many<'key>(
        &mut self,
        items: impl IntoIterator<Item = (T, Option<&'key [u8]>, Priority)>,
        now_ms: u64,
    ) -> Batch<T> {
        self.stamps.observe(now_ms);
        let mut batch = Batch::default();
        for (item, key, priority) in items {
            batch.count(self.admit(item, key, priority));
        }
        batch
    }

    /// Up to `most` items that may run now, best first. Their keys are in flight from here on.
    pub fn drain(&mut self, most: usize, now_ms: u64) -> Vec<T> {
        self.stamps.observe(now_ms);
        let mut drained = Vec::with_capacity(most.min(self.ready));
        while drained.len() < most {
            let Some(item) = self.pop() else { break };
            drained.push(item);
        }
        self.counts.drained += drained.len() as u64;
        drained
    }

    /// The key's item in flight has ended. True where another of that key is now ready; it counts as waiting from the
    /// latest time observed.
    pub fn done(&mut self, key: &[u8]) -> bool {
        let hash = self.hasher.hash_one(key);
        let Some(at) = self.find(key, hash) else { return false };
        let Some(lane) = self.keys.get(at) else { return false };
        if lane.ready.is_some() {
            return false;
        }
        self.in_flight -= 1;
        let head = lane.items.first();
        let next = head.and_then(|head| self.nodes.get(head)).map(|head| head.priority);
        match next {
            Some(priority) => self.enlist(at, priority),
            None => self.forget(at),
        }
        next.is_some()
    }

    /// Everything still queued, in order of arrival. Keys in flight are forgotten.
    pub fn clear(&mut self) -> Vec<T> {
        let fresh = [const { Level::new() }; LEVELS];
        let levels = std::mem::replace(&mut self.levels, fresh);
        let nodes = std::mem::replace(&mut self.nodes, Slab::new());
        let mut left: Vec<(Stamp, T)> = Vec::with_capacity(self.queued);
        left.extend(levels.into_iter().flat_map(|level| level.loose).map(|loose| (loose.stamp, loose.item)));
        left.extend(nodes.into_values().map(|node| (node.stamp, node.item)));
        left.sort_unstable_by_key(|(stamp, _)| *stamp);
        self.keys = Slab::new();
        self.index = HashTable::new();
        self.ranks.clear();
        self.ready = 0;
        self.queued = 0;
        self.in_flight = 0;
        left.into_iter().map(|(_, item)| item).collect()
    }

    /// Everything queued, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let loose = self.levels.iter().flat_map(|level| &level.loose).map(|loose| &loose.item);
        loose.chain(self.nodes.iter().map(|node| &node.item))
    }

    /// What is queued and what became of the rest.
    pub fn statistics(&self) -> Statistics {
        let oldest = self.levels.iter().filter_map(|level| level.oldest(&self.nodes)).map(|front| front.since()).min();
        Statistics {
            queued: self.queued,
            ready: self.ready,
            in_flight: self.in_flight,
            capacity: self.capacity,
            counts: self.counts,
            oldest_ms: oldest.map_or(0, |stamp| self.stamps.now_ms() - stamp.ms()),
            by_priority: std::array::from_fn(|at| self.levels.get(at).map_or(0, |level| level.queued)),
        }
    }

    /// Into the queue, which has room.
    fn enqueue(&mut self, item: T, key: Option<&[u8]>, priority: Priority) {
        let stamp = self.stamps.next();
        self.queued += 1;
        let Some(key) = key else {
            let level = level_mut(&mut self.levels, priority);
            level.queued += 1;
            level.loose.push_back(Loose { item, stamp });
            self.ranks.joined(priority, stamp);
            self.ready += 1;
            return;
        };
        let hash = self.hasher.hash_one(key);
        let found = self.find(key, hash);
        let at = found.unwrap_or_else(|| self.open(key, hash, stamp));
        let node = self.nodes.insert(Node::new(item, stamp, at, priority));
        let level = level_mut(&mut self.levels, priority);
        level.queued += 1;
        level.arrived.push_back(&mut self.nodes, node);
        if let Some(lane) = self.keys.get_mut(at) {
            lane.items.push_back(&mut self.nodes, node);
        }
        if found.is_none() {
            self.list(at, priority, stamp);
        }
    }

    fn pop(&mut self) -> Option<T> {
        let priority = self.ranks.best()?;
        let level = level_mut(&mut self.levels, priority);
        let item = match level.front(&self.keys)? {
            Front::Loose(_) => level.pop_loose()?,
            Front::Keyed(at, _) => {
                level.ready.unlink(&mut self.keys, at);
                let lane = self.keys.get_mut(at)?;
                lane.ready = None;
                let head = lane.items.first()?;
                self.in_flight += 1;
                self.take_node(head)?
            }
        };
        self.settle(priority);
        self.ready -= 1;
        self.queued -= 1;
        Some(item)
    }

    /// A node out of its lane and its level; its item is the caller's.
    fn take_node(&mut self, at: u32) -> Option<T> {
        let node = self.nodes.get(at)?;
        let (lane, priority) = (node.lane, node.priority);
        if let Some(lane) = self.keys.get_mut(lane) {
            lane.items.unlink(&mut self.nodes, at);
        }
        let level = level_mut(&mut self.levels, priority);
        level.arrived.unlink(&mut self.nodes, at);
        level.queued -= 1;
        self.nodes.remove(at).map(|node| node.item)
    }

    /// Keeps the ranks true after something ready left `priority`.
    fn settle(&mut self, priority: Priority) {
        let front = level(&self.levels, priority).front(&self.keys);
        self.ranks.set(priority, front.map(|front| front.since()));
    }

    /// A lane whose head may run from now on, behind what is ready already.
    fn enlist(&mut self, at: u32, priority: Priority) {
        let since = self.stamps.next();
        self.list(at, priority, since);
    }

    fn list(&mut self, at: u32, priority: Priority, since: Stamp) {
        if let Some(lane) = self.keys.get_mut(at) {
            lane.ready = Some(priority);
            lane.since = since;
        }
        level_mut(&mut self.levels, priority).ready.push_back(&mut self.keys, at);
        self.ranks.joined(priority, since);
        self.ready += 1;
    }

    fn find(&self, key: &[u8], hash: u64) -> Option<u32> {
        let same = |at: &u32| self.keys.get(*at).is_some_and(|lane| *lane.key == *key);
        self.index.find(hash, same).copied()
    }

    fn open(&mut self, key: &[u8], hash: u64, since: Stamp) -> u32 {
        let at = self.keys.insert(Lane::new(key.into(), hash, since));
        let lanes = &self.keys;
        self.index.insert_unique(hash, at, |at| lanes.get(*at).map_or(0, |lane| lane.hash));
        at
    }

    /// A lane with nothing queued and nothing in flight.
    fn forget(&mut self, at: u32) {
        let Some(lane) = self.keys.remove(at) else { return };
        if let Ok(entry) = self.index.find_entry(lane.hash, |other| *other == at) {
            entry.remove();
        }
        if self.index.is_empty() && self.index.capacity() > KEEP {
            self.index = HashTable::new();
        }
    }
}
