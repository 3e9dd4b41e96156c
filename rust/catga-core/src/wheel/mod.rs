//! A hierarchical timing wheel: insert, cancel and reset in constant time, firing in order of deadline.
//!
//! Six levels of 64 slots; a slot of level `l` spans 64^l ms. A timer stands at the level of the highest group of six
//! bits in which its deadline differs from now, in the slot that this group numbers. What differs above all groups
//! (more than two years ahead) waits in one far list; what is not after now, in one overdue list.
//!
//! That place is a function of deadline and now alone, and `drain` restores it before now moves on. So equal deadlines
//! always share a list, in order of arrival, and a cascade walks a list from its head: FIFO needs no sequence number.

mod slab;

use slab::{NONE, Slab};

const LEVELS: u32 = 6;
const SLOTS: u32 = 64;
const BITS: u32 = SLOTS.trailing_zeros();

/// Lists are numbered: level by level the slots, then these two.
const OVERDUE: u32 = LEVELS * SLOTS;
const FAR: u32 = OVERDUE + 1;
const LISTS: usize = FAR as usize + 1;

/// Timers by arrival. `earliest` is their earliest deadline, or (when `stale`) no later than it.
#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
    earliest: u64,
    stale: bool,
}

impl List {
    const EMPTY: Self = Self { head: NONE, tail: NONE, earliest: u64::MAX, stale: false };
}

/// Timers of millisecond deadlines, each holding an item.
///
/// Nothing is dropped in here: every item leaves through a return value, for the caller to drop where it is safe.
#[derive(Debug)]
pub struct Wheel<T> {
    now: u64,
    slab: Slab<T>,
    lists: Box<[List; LISTS]>,
    /// One bit for every slot that holds a timer.
    occupied: [u64; LEVELS as usize],
}

impl<T> Wheel<T> {
    /// An empty wheel that stands at `now`.
    pub fn new(now: u64) -> Self {
        Self { now, slab: Slab::new(), lists: Box::new([List::EMPTY; LISTS]), occupied: [0; LEVELS as usize] }
    }

    /// How many timers are pending.
    pub const fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether no timer is pending.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every pending item, in no order.
    pub fn items(&self) -> impl Iterator<Item = &T> {
        self.slab.items()
    }

    /// Adds a timer and gives its key, which names no other timer while the wheel lives.
    ///
    /// # Errors
    /// The item comes back when 2^32 - 1 timers are pending.
    pub fn insert(&mut self, deadline: u64, item: T) -> Result<u64, T> {
        let (index, key) = self.slab.add(deadline, item)?;
        self.link(index, deadline);
        Ok(key)
    }

    /// Takes a pending timer's item; None where it fired or was cancelled before.
    pub fn cancel(&mut self, key: u64) -> Option<T> {
        let index = self.slab.find(key)?;
        self.unlink(index);
        self.slab.release(index)
    }

    /// Moves a pending timer, behind those of the same deadline; false where there is none.
    pub fn reset(&mut self, key: u64, deadline: u64) -> bool {
        let Some(index) = self.slab.find(key) else { return false };
        self.unlink(index);
        if let Some(timer) = self.slab.get_mut(index) {
            timer.deadline = deadline;
        }
        self.link(index, deadline);
        true
    }

    /// Moves on to `now` and takes everything due by then, in order of deadline and, among equals, of arrival.
    ///
    /// An earlier `now` than before counts as that one: time never goes back.
    pub fn drain(&mut self, now: u64) -> Vec<T> {
        let now = now.max(self.now);
        let mut due = Vec::new();
        self.drain_overdue(&mut due);
        while let Some((list, start)) = self.next_slot().filter(|&(_, start)| start <= now) {
            self.now = start;
            let mut index = self.detach(list);
            while let Some(timer) = self.slab.get(index) {
                let (at, deadline) = (index, timer.deadline);
                index = timer.next;
                if deadline <= start {
                    due.extend(self.slab.release(at));
                } else {
                    self.link(at, deadline);
                }
            }
        }
        self.now = now;
        due
    }

    /// The earliest deadline pending.
    ///
    /// Constant time, unless the earliest timer of the next slot was cancelled or moved: then that slot is walked once.
    pub fn next_deadline(&mut self) -> Option<u64> {
        let list = if self.lists.get(OVERDUE as usize)?.head == NONE { self.next_slot()?.0 } else { OVERDUE };
        let &List { head, earliest, stale, .. } = self.lists.get(list as usize)?;
        if !stale {
            return Some(earliest);
        }
        let earliest = self.chain(head).map(|(_, deadline)| deadline).min()?;
        let list = self.lists.get_mut(list as usize)?;
        (list.earliest, list.stale) = (earliest, false);
        Some(earliest)
    }

    /// Takes every item, in the order in which they would have fired.
    pub fn clear(&mut self) -> Vec<T> {
        let mut pending: Vec<(u64, u32)> = Vec::with_capacity(self.len());
        for list in 0..=FAR {
            let head = self.detach(list);
            pending.extend(self.chain(head).map(|(index, deadline)| (deadline, index)));
        }
        // Stable: equal deadlines share a list, which is in order of arrival.
        pending.sort_by_key(|&(deadline, _)| deadline);
        pending.into_iter().filter_map(|(_, index)| self.slab.release(index)).collect()
    }

    fn drain_overdue(&mut self, due: &mut Vec<T>) {
        let head = self.detach(OVERDUE);
        let mut overdue: Vec<(u64, u32)> = self.chain(head).map(|(index, deadline)| (deadline, index)).collect();
        overdue.sort_by_key(|&(deadline, _)| deadline);
        due.extend(overdue.into_iter().filter_map(|(_, index)| self.slab.release(index)));
    }

    /// The occupied slot that begins first, and when. The lower level wins: it lies within one slot of the higher.
    fn next_slot(&self) -> Option<(u32, u64)> {
        for (level, &word) in (0..).zip(&self.occupied) {
            if word != 0 {
                let slot = word.trailing_zeros();
                let shift = BITS * level;
                let start = self.now >> (shift + BITS) << (shift + BITS) | u64::from(slot) << shift;
                return Some((level * SLOTS + slot, start));
            }
        }
        // Where `earliest` is stale this is too soon, which costs one walk that makes it exact.
        let far = self.lists.get(FAR as usize).filter(|far| far.head != NONE)?;
        let shift = BITS * LEVELS;
        Some((FAR, far.earliest >> shift << shift))
    }

    /// The list in which a deadline belongs as long as now stands.
    fn place(&self, deadline: u64) -> u32 {
        if deadline <= self.now {
            return OVERDUE;
        }
        let level = (deadline ^ self.now).ilog2() / BITS;
        if level >= LEVELS {
            return FAR;
        }
        let [low, ..] = (deadline >> (BITS * level)).to_le_bytes();
        level * SLOTS + u32::from(low) % SLOTS
    }

    fn link(&mut self, index: u32, deadline: u64) {
        let place = self.place(deadline);
        let Some(list) = self.lists.get_mut(place as usize) else { return };
        let tail = list.tail;
        list.tail = index;
        if tail == NONE {
            *list = List { head: index, tail: index, earliest: deadline, stale: false };
            self.mark(place, true);
        } else if deadline <= list.earliest {
            (list.earliest, list.stale) = (deadline, false);
        }
        if let Some(timer) = self.slab.get_mut(tail) {
            timer.next = index;
        }
        if let Some(timer) = self.slab.get_mut(index) {
            (timer.previous, timer.next, timer.list) = (tail, NONE, place);
        }
    }

    fn unlink(&mut self, index: u32) {
        let Some(timer) = self.slab.get(index) else { return };
        let (previous, next, place, deadline) = (timer.previous, timer.next, timer.list, timer.deadline);
        let Some(list) = self.lists.get_mut(place as usize) else { return };
        if previous == NONE {
            list.head = next;
        }
        if next == NONE {
            list.tail = previous;
        }
        // In a slot of the lowest level all deadlines are equal.
        list.stale |= deadline == list.earliest && place >= SLOTS;
        if list.head == NONE {
            *list = List::EMPTY;
            self.mark(place, false);
        }
        if let Some(timer) = self.slab.get_mut(previous) {
            timer.next = next;
        }
        if let Some(timer) = self.slab.get_mut(next) {
            timer.previous = previous;
        }
    }

    /// Empties a list and gives its head; the chain behind it is still whole.
    fn detach(&mut self, place: u32) -> u32 {
        self.mark(place, false);
        self.lists.get_mut(place as usize).map_or(NONE, |list| std::mem::replace(list, List::EMPTY).head)
    }

    fn chain(&self, head: u32) -> impl Iterator<Item = (u32, u64)> + '_ {
        let mut index = head;
        std::iter::from_fn(move || {
            let timer = self.slab.get(index)?;
            let at = std::mem::replace(&mut index, timer.next);
            Some((at, timer.deadline))
        })
    }

    /// The overdue and the far list have no bit.
    fn mark(&mut self, place: u32, occupied: bool) {
        if let Some(word) = self.occupied.get_mut((place / SLOTS) as usize) {
            let bit = 1 << (place % SLOTS);
            *word = if occupied { *word | bit } else { *word & !bit };
        }
    }
}
