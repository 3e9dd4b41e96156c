//! One number that says both when and in which order.

/// How many stamps share a millisecond. More than that in one millisecond lend from the next, which only lets the last
/// of them look a millisecond younger.
const SEQUENCE_BITS: u32 = 20;
const LAST_MS: u64 = (1 << (u64::BITS - SEQUENCE_BITS)) - 1;

/// Milliseconds above, sequence below: half the memory of keeping both, for a million queued items 8 MB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp(u64);

impl Stamp {
    pub(super) const fn ms(self) -> u64 {
        self.0 >> SEQUENCE_BITS
    }

    pub(super) const fn order(self) -> u128 {
        self.0 as u128
    }
}

/// Gives every stamp once, each above the last: a clock that steps back changes no order.
pub(super) struct Stamps {
    last: u64,
}

impl Stamps {
    pub(super) const fn new() -> Self {
        Self { last: 0 }
    }

    pub(super) fn observe(&mut self, now_ms: u64) {
        self.last = self.last.max(now_ms.min(LAST_MS) << SEQUENCE_BITS);
    }

    /// The next stamp, at the latest time observed.
    pub(super) fn next(&mut self) -> Stamp {
        // Stops one short of the end, which the ranks keep for themselves; a clock gets there after 557 years.
        self.last = self.last.saturating_add(1).min(u64::MAX - 1);
        Stamp(self.last)
    }

    pub(super) const fn now_ms(&self) -> u64 {
        Stamp(self.last).ms()
    }
}
