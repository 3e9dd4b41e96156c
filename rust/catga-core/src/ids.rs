//! Ids that sort by time: 128 bits in the layout of `UUIDv7`, 64 bits in that of Snowflake.
//!
//! Neither ever waits for the clock or follows it back: what one generator gives is strictly increasing.

use std::sync::atomic::{AtomicU64, Ordering};

/// The highest time a 128-bit id can carry.
pub const MAX_MS: u64 = (1 << 48) - 1;

const COUNTER_BITS: u32 = 42;
const VERSION_AND_VARIANT: u128 = (0x7 << 76) | (0x2 << 62);

/// xoshiro256++ seeded by splitmix64: fifteen lines that stay reproducible, where a crate's generator may change.
#[derive(Debug)]
struct Random([u64; 4]);

impl Random {
    fn new(mut seed: u64) -> Self {
        Self(std::array::from_fn(|_| {
            seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^ (mixed >> 31)
        }))
    }

    fn next(&mut self) -> u64 {
        let Self([a, b, c, d]) = self;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }
}

/// 128-bit ids: 48 bits of ms, a 42-bit counter that starts at random in each ms, 32 random bits.
///
/// The counter orders the ids of one ms; where it runs out, the next ms is borrowed from the future.
#[derive(Debug)]
pub struct Ids {
    random: Random,
    ms: u64,
    counter: u64,
}

impl Ids {
    /// A generator; equal seeds and times give equal ids.
    pub fn new(seed: u64) -> Self {
        let mut ids = Self { random: Random::new(seed), ms: 0, counter: 0 };
        ids.restart();
        ids
    }

    /// The next id, above every earlier one whatever `now_ms` is; times above [`MAX_MS`] count as that.
    pub fn next(&mut self, now_ms: u64) -> [u8; 16] {
        let now_ms = now_ms.min(MAX_MS);
        if now_ms > self.ms {
            self.ms = now_ms;
            self.restart();
        } else {
            self.advance(1);
        }
        let random = self.random.next() >> 32;
        let (high, low) = (self.counter >> 30, self.counter & ((1 << 30) - 1));
        let id = (u128::from(self.ms) << 80)
            | (u128::from(high) << 64)
            | (u128::from(low) << 32)
            | u128::from(random)
            | VERSION_AND_VARIANT;
        id.to_be_bytes()
    }

    /// New randomness for a process that began as a copy of another.
    ///
    /// The counter leaps too: the copies stand at the same count, and 32 random bits alone would not part them.
    pub fn reseed(&mut self, seed: u64) {
        self.random = Random::new(seed);
        let leap = self.random.next() >> (64 - (COUNTER_BITS - 1));
        self.advance(leap + 1);
    }

    fn advance(&mut self, by: u64) {
        self.counter += by;
        if self.counter >> COUNTER_BITS != 0 {
            self.ms = (self.ms + 1).min(MAX_MS);
            self.restart();
        }
    }

    /// The top bit stays free, so that two million million ids fit before the ms must be left.
    fn restart(&mut self) {
        self.counter = self.random.next() >> (64 - (COUNTER_BITS - 1));
    }
}

const SEQUENCE_BITS: u32 = 12;
const NODE_BITS: u32 = 10;
const SNOWFLAKE_MS_BITS: u32 = 41;

/// 64-bit ids: 41 bits of ms since an epoch, 10 of node, 12 of sequence.
///
/// Time and sequence are one number that only grows: an overflow carries into the ms by itself.
#[derive(Debug)]
pub struct Snowflake {
    node: u64,
    epoch_ms: i64,
    next: AtomicU64,
}

impl Snowflake {
    /// The highest node number.
    pub const MAX_NODE: u64 = (1 << NODE_BITS) - 1;

    /// A generator of one node; bits of `node` above the tenth are dropped.
    pub fn new(node: u64, epoch_ms: i64) -> Self {
        Self { node: (node & Self::MAX_NODE) << SEQUENCE_BITS, epoch_ms, next: AtomicU64::new(0) }
    }

    /// `count` ids in order; None when the 41 bits of ms are used up, and then none was taken.
    ///
    /// A time before the epoch counts as the epoch.
    pub fn take(&self, count: u64, now_ms: i64) -> Option<impl ExactSizeIterator<Item = u64> + use<>> {
        let now = u64::try_from(now_ms.saturating_sub(self.epoch_ms)).unwrap_or(0);
        let now = now.checked_shl(SEQUENCE_BITS).filter(|_| now >> SNOWFLAKE_MS_BITS == 0)?;
        let end = |next: u64| {
            // Nothing asked for, nothing moved: not even on to `now`.
            let start = if count == 0 { next } else { next.max(now) };
            start.checked_add(count).filter(|end| *end <= 1 << (SNOWFLAKE_MS_BITS + SEQUENCE_BITS))
        };
        let before = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, end).ok()?;
        let start = before.max(now);
        let (node, sequence) = (self.node, (1 << SEQUENCE_BITS) - 1);
        let count = usize::try_from(count).ok()?;
        Some((0..count).map(move |offset| {
            let ticket = start + offset as u64;
            ((ticket & !sequence) << NODE_BITS) | node | (ticket & sequence)
        }))
    }
}
