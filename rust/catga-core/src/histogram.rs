//! A log-linear histogram: values below 256 exactly, above that 128 buckets for every power of two.
//!
//! A bucket is at most 1/128 of its values wide, so what it says is at most 0.8 % too high: two significant digits.

/// The lowest power of two whose values no longer have a bucket each.
const EXACT_BITS: u32 = 8;
const EXACT: usize = 1 << EXACT_BITS;
const HALF: usize = EXACT / 2;
const BUCKETS: usize = EXACT + HALF * (u64::BITS - EXACT_BITS) as usize;

/// Counts of values in 58 KiB, whatever and however many they are.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Box<[u64]>,
    count: u64,
    total: u128,
    highest: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS].into_boxed_slice(), count: 0, total: 0, highest: 0 }
    }
}

impl Histogram {
    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        if let Some(count) = self.counts.get_mut(bucket(value)) {
            *count = count.saturating_add(1);
        }
        self.count = self.count.saturating_add(1);
        self.total = self.total.saturating_add(u128::from(value));
        self.highest = self.highest.max(value);
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        // Merging can double what is there, so that no number of real events bounds it.
        self.count = self.count.saturating_add(other.count);
        self.total = self.total.saturating_add(other.total);
        self.highest = self.highest.max(other.highest);
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.counts.fill(0);
        (self.count, self.total, self.highest) = (0, 0, 0);
    }

    /// The value of nearest rank: at least `q` of all values are not above it. At most 1 % too high; 0 when empty.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn quantile(&self, q: f64) -> u64 {
        // Counts above 2^53 lose their last bits here, far below the buckets' own error.
        let rank = ((q * self.count as f64).ceil() as u64).min(self.count);
        let mut seen = 0;
        for (upper, count) in self.buckets() {
            seen = count.saturating_add(seen);
            if seen >= rank {
                return upper.min(self.highest);
            }
        }
        0
    }

    /// Upper bound (inclusive) and count of every bucket that is not empty, in order.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        (0..).zip(&self.counts).filter(|&(_, &count)| count > 0).map(|(index, &count)| (upper(index), count))
    }

    /// How many values were counted.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their exact sum.
    pub const fn total(&self) -> u128 {
        self.total
    }

    /// The exact highest of them; 0 when empty.
    pub const fn highest(&self) -> u64 {
        self.highest
    }
}

fn bucket(value: u64) -> usize {
    let exponent = (value | 1).ilog2();
    let shift = (exponent + 1).saturating_sub(EXACT_BITS);
    // The top eight bits, whose first is set once `shift` is not 0: each step of it adds the upper half of a range.
    let top = usize::try_from(value >> shift).unwrap_or(EXACT);
    top + shift as usize * HALF
}

fn upper(bucket: usize) -> u64 {
    if bucket < EXACT {
        return bucket as u64;
    }
    let shift = bucket / HALF - 1;
    let top = (bucket - shift * HALF) as u64;
    (top << shift) | ((1 << shift) - 1)
}
