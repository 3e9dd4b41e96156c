//! A bounded ring by which any thread feeds one consumer, with one wake-up a batch.
//!
//! # Slots
//!
//! Dmitry Vyukov's: each slot has a turn that says whose it is. For the position `p` (counted from the start, never
//! wrapped) the turn `2p` means free for the producer that reserves `p`, and `2p + 1` filled. The consumer that takes it
//! sets `2 (p + capacity)`: free for the next lap. Twice the position, so that a ring of one slot can tell the two apart.
//! Producers reserve by exchanging `tail`; its lowest bit says closed, so a push either reserved before the close or fails.
//!
//! # Consumer
//!
//! Whoever holds the lock of `head` is the consumer. It is taken once per drain, by nobody else in ordinary use, and never
//! by a producer.
//!
//! # Wake
//!
//! `armed` says that the consumer has been called or has promised to come. A producer publishes, then exchanges it for
//! true and wakes only if it was false. The consumer exchanges it for false *before* it looks: if a producer's exchange came
//! first, the consumer's reads what it published; if it came after, that producer wakes. Every write of the flag is an
//! exchange: a plain store would hide the producers' writes before it, and the consumer could miss the item that it was
//! not woken for.

mod sync;

use std::sync::PoisonError;

use sync::{AtomicBool, AtomicU64, Mutex, Ordering, UnsafeCell};

struct Slot<T> {
    turn: AtomicU64,
    item: UnsafeCell<Option<T>>,
}

/// Alone on its cache line: producers write the one while the consumer writes the other.
#[repr(align(128))]
struct Alone<T>(T);

/// Why an item was not pushed; it comes back to the caller.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// The ring is full.
    Full(T),
    /// The ring is closed.
    Closed(T),
}

/// See the module's description.
pub struct Ring<T> {
    slots: Box<[Slot<T>]>,
    /// Twice the next position to reserve, plus one when closed.
    tail: Alone<AtomicU64>,
    /// The next position to take.
    head: Alone<Mutex<u64>>,
    /// `head` for readers that do not want the lock.
    taken: AtomicU64,
    armed: AtomicBool,
}

// SAFETY: a slot's item is reached by one thread at a time. Its producer alone won the exchange that reserved the position
// while the turn said free, and gives it away by the release store of the next turn; the consumer reaches it after an acquire
// load of that turn, under the lock of `head`, and gives it back the same way. Items cross threads, hence `T: Send`; shared
// references are handed out only under the lock (`for_each`), to one thread at a time.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    /// A capacity of 0 is taken for 1.
    pub fn new(capacity: usize) -> Self {
        let free = |position| Slot { turn: AtomicU64::new(2 * position), item: UnsafeCell::new(None) };
        Self {
            slots: (0..capacity.max(1) as u64).map(free).collect(),
            tail: Alone(AtomicU64::new(0)),
            head: Alone(Mutex::new(0)),
            taken: AtomicU64::new(0),
            armed: AtomicBool::new(false),
        }
    }

    /// Ok(true) when the caller has to wake the consumer.
    ///
    /// # Errors
    ///
    /// [`Refused`] with the item when the ring is full or closed.
    pub fn push(&self, item: T) -> Result<bool, Refused<T>> {
        let mut tail = self.tail.0.load(Ordering::Relaxed);
        loop {
            if tail & 1 == 1 {
                return Err(Refused::Closed(item));
            }
            let Some(slot) = self.slot(tail / 2) else { return Err(Refused::Full(item)) };
            let turn = slot.turn.load(Ordering::Acquire);
            if turn < tail {
                return Err(Refused::Full(item));
            }
            if turn > tail {
                tail = self.tail.0.load(Ordering::Relaxed);
                continue;
            }
            if let Err(now) = self.tail.0.compare_exchange_weak(tail, tail + 2, Ordering::Relaxed, Ordering::Relaxed) {
                tail = now;
                continue;
            }
            // SAFETY: the exchange made this thread the one producer of the position, and the turn says that the consumer
            // is done with the slot. It holds None, so nothing is dropped here.
            slot.item.with_mut(|place| unsafe { *place = Some(item) });
            slot.turn.store(turn + 1, Ordering::Release);
            return Ok(!self.arm(true));
        }
    }

    /// Up to `most` items in order. With fewer the ring is idle and the next push wakes; with `most` it stays armed and the
    /// caller has to come back.
    pub fn drain(&self, most: usize) -> Vec<T> {
        if most == 0 {
            return Vec::new();
        }
        let mut head = self.head.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.arm(false);
        let mut items = Vec::with_capacity(most.min(self.len()));
        while items.len() < most {
            let Some(item) = self.take(*head) else { break };
            items.push(item);
            *head += 1;
        }
        self.taken.store(*head, Ordering::Release);
        if items.len() == most {
            self.arm(true);
        }
        items
    }

    /// No more pushes. What was reserved before is published, and can be drained.
    pub fn close(&self) {
        self.tail.0.fetch_or(1, Ordering::Relaxed);
    }

    /// Whether pushes are refused for good.
    pub fn is_closed(&self) -> bool {
        self.tail.0.load(Ordering::Relaxed) & 1 == 1
    }

    /// The wake that a push asked for could not be given: the next push asks again.
    pub fn disarm(&self) {
        self.arm(false);
    }

    /// How many items are in the ring, about: pushes and drains go on meanwhile.
    pub fn len(&self) -> usize {
        let taken = self.taken.load(Ordering::Acquire);
        let len = (self.tail.0.load(Ordering::Relaxed) / 2).saturating_sub(taken);
        usize::try_from(len).unwrap_or(usize::MAX).min(self.slots.len())
    }

    /// Whether the ring is empty, about.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items the ring can hold.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Every item published and not taken, while no drain is under way; false when one is, and nothing was visited.
    ///
    /// Sound beside pushes, which write to slots that are not yet published, and complete where there are none under way.
    pub fn for_each(&self, mut visit: impl FnMut(&T)) -> bool {
        let Ok(head) = self.head.0.try_lock() else { return false };
        let tail = self.tail.0.load(Ordering::Relaxed) / 2;
        for position in *head..tail {
            if let Some(slot) = self.published(position) {
                // SAFETY: a published item is changed by the consumer alone, and this thread holds its lock.
                slot.item.with(|place| {
                    if let Some(item) = unsafe { &*place } {
                        visit(item);
                    }
                });
            }
        }
        true
    }

    /// What the flag was. See the module's description for why it is never merely stored.
    fn arm(&self, armed: bool) -> bool {
        self.armed.swap(armed, Ordering::AcqRel)
    }

    fn slot(&self, position: u64) -> Option<&Slot<T>> {
        let at = position % self.slots.len() as u64;
        self.slots.get(usize::try_from(at).ok()?)
    }

    fn published(&self, position: u64) -> Option<&Slot<T>> {
        self.slot(position).filter(|slot| slot.turn.load(Ordering::Acquire) == 2 * position + 1)
    }

    /// The caller holds the lock of `head`, whose value is `position`.
    fn take(&self, position: u64) -> Option<T> {
        let slot = self.published(position)?;
        // SAFETY: the turn says that the producer is done with the slot, and the lock that no one else takes from it.
        let item = slot.item.with_mut(|place| unsafe { (*place).take() });
        slot.turn.store(2 * (position + self.slots.len() as u64), Ordering::Release);
        item
    }
}
