//! What happens to an item for which there is no room.

use super::level::{Front, Priority, level, level_mut};
use super::{Lanes, MOST_CAPACITY};

/// What a full queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Refuses; the caller waits and puts the item again.
    Block,
    /// Refuses, and counts it.
    Reject,
    /// Gives up the oldest queued item of the least urgent priority.
    DropOldest,
    /// Gives up the item that is being put.
    DropNewest,
}

/// What became of an item.
#[derive(Debug, PartialEq, Eq)]
pub enum Put<T> {
    /// It is queued.
    Accepted,
    /// It is queued, in the place of the one given back.
    Replaced(T),
    /// There is no room: the item is still the caller's.
    Refused(T),
    /// The item itself is what the policy gave up.
    Dropped(T),
}

/// What became of several items.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch<T> {
    /// How many are queued: the first ones, unless the policy is `DropOldest`.
    pub accepted: usize,
    /// What the policy gave up, new or old.
    pub dropped: Vec<T>,
    /// What is still the caller's: all after the first there was no room for.
    pub refused: Vec<T>,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { accepted: 0, dropped: Vec::new(), refused: Vec::new() }
    }
}

impl<T> Batch<T> {
    pub(super) fn count(&mut self, put: Put<T>) {
        match put {
            Put::Accepted => self.accepted += 1,
            Put::Replaced(old) => {
                self.accepted += 1;
                self.dropped.push(old);
            }
            Put::Refused(item) => self.refused.push(item),
            Put::Dropped(item) => self.dropped.push(item),
        }
    }
}

impl<T> Lanes<T> {
    pub(super) fn admit(&mut self, item: T, key: Option<&[u8]>, priority: Priority) -> Put<T> {
        // Keys in flight are not bounded by the capacity, and their places have names of 32 bits as well.
        if self.keys.len() > MOST_CAPACITY {
            return Put::Refused(item);
        }
        if self.queued < self.capacity {
            self.enqueue(item, key, priority);
            self.counts.accepted += 1;
            return Put::Accepted;
        }
        match self.policy {
            Policy::Block => Put::Refused(item),
            Policy::Reject => {
                self.counts.rejected += 1;
                Put::Refused(item)
            }
            Policy::DropNewest => {
                self.counts.dropped += 1;
                Put::Dropped(item)
            }
            Policy::DropOldest => {
                self.counts.dropped += 1;
                match self.evict(priority) {
                    Some(old) => {
                        self.enqueue(item, key, priority);
                        self.counts.accepted += 1;
                        Put::Replaced(old)
                    }
                    None => Put::Dropped(item),
                }
            }
        }
    }

    /// The oldest item of the least urgent priority, unless the newcomer is less urgent still.
    fn evict(&mut self, newcomer: Priority) -> Option<T> {
        let occupied = |priority: &Priority| level(&self.levels, *priority).queued > 0;
        let priority = Priority::all().rev().find(occupied).filter(|lowest| *lowest >= newcomer)?;
        let level = level_mut(&mut self.levels, priority);
        let item = match level.oldest(&self.nodes)? {
            Front::Loose(_) => {
                let item = level.pop_loose()?;
                self.ready -= 1;
                self.settle(priority);
                item
            }
            Front::Keyed(node, _) => {
                let at = self.nodes.get(node)?.lane;
                let item = self.take_node(node)?;
                self.rerank(at);
                item
            }
        };
        self.queued -= 1;
        Some(item)
    }

    /// After a lane lost an item that did not run: one with another head moves, an empty one goes.
    fn rerank(&mut self, at: u32) {
        let Some(lane) = self.keys.get(at) else { return };
        let Some(listed) = lane.ready else { return };
        let head = lane.items.first().and_then(|head| self.nodes.get(head)).map(|head| head.priority);
        if head == Some(listed) {
            return;
        }
        level_mut(&mut self.levels, listed).ready.unlink(&mut self.keys, at);
        self.ready -= 1;
        self.settle(listed);
        match head {
            Some(priority) => self.enlist(at, priority),
            None => self.forget(at),
        }
    }
}
