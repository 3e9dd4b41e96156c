//! What the lanes can say about themselves.

use super::level::LEVELS;

/// What became of items since the lanes were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Queued, whatever happened to them later.
    pub accepted: u64,
    /// Refused by the policy `Reject`. `Block` counts none, since the caller puts the same item again.
    pub rejected: u64,
    /// Given up by a dropping policy, the newcomers among them.
    pub dropped: u64,
    /// Given out to run.
    pub drained: u64,
}

/// A snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Items queued, ready or not.
    pub queued: usize,
    /// Items a drain could give.
    pub ready: usize,
    /// Keys in flight.
    pub in_flight: usize,
    /// The bound on `queued`.
    pub capacity: usize,
    /// Totals.
    pub counts: Counts,
    /// How long the oldest queued item has waited, as of the latest time observed; 0 when nothing is queued.
    pub oldest_ms: u64,
    /// Items queued at each priority.
    pub by_priority: [usize; LEVELS],
}
