//! What waits at one priority.

use std::collections::VecDeque;

use super::list::{Link, Linked, List};
use super::slab::{KEEP, Slab};
use super::stamp::Stamp;

/// How many priorities there are; 0 is the most urgent.
pub const LEVELS: usize = 8;

/// A priority, 0 (first) to 7.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Priority(u8);

impl Priority {
    /// The least urgent.
    pub const LAST: Self = Self(7);

    /// None above 7.
    pub const fn new(value: u8) -> Option<Self> {
        if (value as usize) < LEVELS { Some(Self(value)) } else { None }
    }

    /// 0 to 7.
    pub const fn value(self) -> u8 {
        self.0
    }

    /// The most urgent first.
    pub(super) fn all() -> impl DoubleEndedIterator<Item = Self> {
        (0..8).map(Self)
    }

    /// The most urgent of a set.
    pub(super) fn first_of(set: u8) -> Option<Self> {
        u8::try_from(set.trailing_zeros()).ok().and_then(Self::new)
    }

    pub(super) const fn bit(self) -> u8 {
        1 << self.0
    }
}

/// An item without a key. A million of them may wait: two words each.
pub(super) struct Loose<T> {
    pub(super) item: T,
    pub(super) stamp: Stamp,
}

/// Names the list of one key's items.
pub(super) struct OfKey;
/// Names the list of one level's keyed items, in order of arrival.
pub(super) struct OfLevel;
/// Names the list of one level's lanes that may run.
pub(super) struct OfReady;

/// An item with a key.
pub(super) struct Node<T> {
    pub(super) item: T,
    pub(super) stamp: Stamp,
    pub(super) lane: u32,
    pub(super) priority: Priority,
    in_key: Link,
    in_level: Link,
}

impl<T> Node<T> {
    pub(super) const fn new(item: T, stamp: Stamp, lane: u32, priority: Priority) -> Self {
        Self { item, stamp, lane, priority, in_key: Link::LOOSE, in_level: Link::LOOSE }
    }
}

impl<T> Linked<OfKey> for Node<T> {
    fn link(&mut self) -> &mut Link {
        &mut self.in_key
    }
}

impl<T> Linked<OfLevel> for Node<T> {
    fn link(&mut self) -> &mut Link {
        &mut self.in_level
    }
}

/// One key: its items in order, and where it ranks. It lives while it has items or one of them is in flight.
pub(super) struct Lane {
    pub(super) key: Box<[u8]>,
    pub(super) hash: u64,
    pub(super) items: List<OfKey>,
    /// The level whose ready list it is in; None while its item is in flight.
    pub(super) ready: Option<Priority>,
    pub(super) since: Stamp,
    in_ready: Link,
}

impl Lane {
    pub(super) const fn new(key: Box<[u8]>, hash: u64, since: Stamp) -> Self {
        Self { key, hash, items: List::new(), ready: None, since, in_ready: Link::LOOSE }
    }
}

impl Linked<OfReady> for Lane {
    fn link(&mut self) -> &mut Link {
        &mut self.in_ready
    }
}

pub(super) struct Level<T> {
    pub(super) loose: VecDeque<Loose<T>>,
    pub(super) ready: List<OfReady>,
    pub(super) arrived: List<OfLevel>,
    pub(super) queued: usize,
}

pub(super) enum Front {
    Loose(Stamp),
    /// A lane, or a lane's item, by its place.
    Keyed(u32, Stamp),
}

impl Front {
    pub(super) const fn since(&self) -> Stamp {
        match *self {
            Self::Loose(stamp) | Self::Keyed(_, stamp) => stamp,
        }
    }
}

impl<T> Level<T> {
    pub(super) const fn new() -> Self {
        Self { loose: VecDeque::new(), ready: List::new(), arrived: List::new(), queued: 0 }
    }

    /// What has been ready here the longest.
    pub(super) fn front(&self, lanes: &Slab<Lane>) -> Option<Front> {
        let loose = self.loose.front().map(|loose| Front::Loose(loose.stamp));
        let lane = self.ready.first().and_then(|at| lanes.get(at).map(|lane| Front::Keyed(at, lane.since)));
        earlier(loose, lane)
    }

    /// What arrived here first, ready or not; a lane's place is its item's.
    pub(super) fn oldest(&self, nodes: &Slab<Node<T>>) -> Option<Front> {
        let loose = self.loose.front().map(|loose| Front::Loose(loose.stamp));
        let node = self.arrived.first().and_then(|at| nodes.get(at).map(|node| Front::Keyed(at, node.stamp)));
        earlier(loose, node)
    }

    pub(super) fn pop_loose(&mut self) -> Option<T> {
        let Loose { item, .. } = self.loose.pop_front()?;
        self.queued -= 1;
        if self.loose.is_empty() && self.loose.capacity() > KEEP {
            self.loose = VecDeque::new();
        }
        Some(item)
    }
}

fn earlier(left: Option<Front>, right: Option<Front>) -> Option<Front> {
    match (left, right) {
        (Some(left), Some(right)) => Some(if left.since() < right.since() { left } else { right }),
        (left, right) => left.or(right),
    }
}

/// One of eight, by match: an index could not be shown to stay within bounds.
macro_rules! pick {
    ($eight:expr, $at:expr) => {{
        let [p0, p1, p2, p3, p4, p5, p6, p7] = $eight;
        match $at {
            0 => p0,
            1 => p1,
            2 => p2,
            3 => p3,
            4 => p4,
            5 => p5,
            6 => p6,
            _ => p7,
        }
    }};
}
pub(super) use pick;

pub(super) fn level<T>(levels: &[Level<T>; LEVELS], priority: Priority) -> &Level<T> {
    pick!(levels, priority.0)
}

pub(super) fn level_mut<T>(levels: &mut [Level<T>; LEVELS], priority: Priority) -> &mut Level<T> {
    pick!(levels, priority.0)
}
