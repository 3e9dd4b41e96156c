//! Which level goes next.

use super::level::{LEVELS, Priority, pick};
use super::stamp::Stamp;

/// How ready items of different priorities rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranking {
    /// By priority alone; the less urgent may starve.
    Strict,
    /// One level up per so many milliseconds waited.
    Aged(u64),
}

/// No front has this rank: no stamp is all ones.
const NOTHING: u128 = u128::MAX;

/// The rank of each level's front, so that a choice need not go and look at eight queues.
pub(super) struct Ranks {
    ranking: Ranking,
    /// Which levels have something ready.
    ready: u8,
    fronts: [u128; LEVELS],
}

impl Ranks {
    pub(super) const fn new(ranking: Ranking) -> Self {
        Self { ranking, ready: 0, fronts: [NOTHING; LEVELS] }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.ranking);
    }

    /// Something became ready behind everything of its level: it is the front only where there was none.
    pub(super) fn joined(&mut self, priority: Priority, since: Stamp) {
        if self.ready & priority.bit() == 0 {
            self.set(priority, Some(since));
        }
    }

    /// The front of a level after something left it.
    pub(super) fn set(&mut self, priority: Priority, front: Option<Stamp>) {
        let rank = front.map_or(NOTHING, |since| self.rank(priority, since));
        *pick!(&mut self.fronts, priority.value()) = rank;
        if front.is_some() {
            self.ready |= priority.bit();
        } else {
            self.ready &= !priority.bit();
        }
    }

    pub(super) fn best(&self) -> Option<Priority> {
        if self.ranking == Ranking::Strict || self.ready.is_power_of_two() {
            return Priority::first_of(self.ready);
        }
        let mut best = (NOTHING, None);
        for (front, priority) in self.fronts.iter().zip(Priority::all()) {
            if *front < best.0 {
                best = (*front, Some(priority));
            }
        }
        best.1
    }

    /// When it is due, then since when it waits. Neither changes with time, so neither does the order of two items.
    fn rank(&self, priority: Priority, since: Stamp) -> u128 {
        let allowance = match self.ranking {
            Ranking::Strict => 0,
            Ranking::Aged(aging) => aging.saturating_mul(u64::from(priority.value())),
        };
        u128::from(since.ms().saturating_add(allowance)) << 64 | since.order()
    }
}
