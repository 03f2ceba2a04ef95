//! A histogram with HDR buckets: exact below 8, then eight steps for each doubling.
//!
//! Recording is a few relaxed stores by the only writer; reading copies. A value read back is at
//! most 12.5 % above the recorded one. It does not reset itself and does not interpolate.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Steps in each doubling.
const STEPS: usize = 8;
const STEP_BITS: u32 = 3;
/// Doublings above the exact part: values up to 2^42 ns, an hour and more.
const DOUBLINGS: usize = 40;
const BUCKETS: usize = STEPS * (DOUBLINGS + 1);

fn index(value: u64) -> usize {
    if value < STEPS as u64 {
        return value as usize;
    }
    let magnitude = 63 - value.leading_zeros();
    let step = (value >> (magnitude - STEP_BITS)) as usize & (STEPS - 1);
    let doubling = (magnitude - STEP_BITS) as usize + 1;
    (doubling * STEPS + step).min(BUCKETS - 1)
}

/// The highest value that falls into a bucket.
fn upper(index: usize) -> u64 {
    if index < STEPS {
        return index as u64;
    }
    let doubling = (index / STEPS - 1) as u32;
    let step = (index % STEPS) as u64;
    ((STEPS as u64 + step + 1) << doubling) - 1
}

/// The live buckets: one writer, any number of readers.
pub(crate) struct Recorder {
    buckets: [AtomicU64; BUCKETS],
    max: AtomicU64,
    sum: AtomicU64,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            max: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    pub(crate) fn record(&self, value: u64) {
        // ORDERING: statistics with a single writer; a reader may see one of them later.
        let bump = |cell: &AtomicU64, by: u64| {
            cell.store(
                cell.load(Ordering::Relaxed).wrapping_add(by),
                Ordering::Relaxed,
            );
        };
        bump(&self.buckets[index(value)], 1);
        bump(&self.sum, value);
        if value > self.max.load(Ordering::Relaxed) {
            self.max.store(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn snapshot(&self) -> Histogram {
        // ORDERING: as in `record`.
        let counts: Vec<u64> = self
            .buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .collect();
        Histogram {
            count: counts.iter().sum(),
            max: self.max.load(Ordering::Relaxed),
            sum: self.sum.load(Ordering::Relaxed),
            counts,
        }
    }
}

/// A copy of a histogram's buckets. Values are nanoseconds.
///
/// # Examples
///
/// ```
/// use lanemesh_runtime::observe::Histogram;
///
/// let mut histogram = Histogram::default();
/// for nanos in 1..=1000 {
///     histogram.record(nanos);
/// }
/// let median = histogram.quantile(0.5);
/// assert!((500..=563).contains(&median), "{median}");
/// assert_eq!(histogram.max(), 1000);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum: u64,
    max: u64,
}

impl Histogram {
    /// Counts a value.
    pub fn record(&mut self, nanos: u64) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        self.counts[index(nanos)] += 1;
        self.count += 1;
        self.sum = self.sum.wrapping_add(nanos);
        self.max = self.max.max(nanos);
    }

    /// Adds the counts of another one.
    pub fn merge(&mut self, other: &Histogram) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all values, in nanoseconds.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The highest value, exactly.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The mean, in nanoseconds; 0 when nothing was counted.
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }

    /// The value that a share of `quantile` (0 to 1) of all values does not exceed, at most 12.5 %
    /// above the true one; 0 when nothing was counted.
    pub fn quantile(&self, quantile: f64) -> u64 {
        let wanted = (self.count as f64 * quantile.clamp(0.0, 1.0))
            .ceil()
            .max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(index).min(self.max);
            }
        }
        self.max
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count)
            .field("p50", &Duration::from_nanos(self.quantile(0.5)))
            .field("p99", &Duration::from_nanos(self.quantile(0.99)))
            .field("max", &Duration::from_nanos(self.max))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_meet_without_gaps() {
        for bucket in 1..BUCKETS - 1 {
            assert_eq!(index(upper(bucket)), bucket);
            assert_eq!(index(upper(bucket) + 1), bucket + 1);
        }
        assert_eq!(index(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_value_reads_back_within_an_eighth() {
        for value in [0, 1, 7, 8, 9, 100, 1_000, 65_537, 1 << 40] {
            let upper = upper(index(value));
            assert!(
                upper >= value && upper - value <= value / 8,
                "{value}: {upper}"
            );
        }
    }

    #[test]
    fn merge_adds_counts() {
        let mut left = Histogram::default();
        let mut right = Histogram::default();
        left.record(10);
        right.record(1_000);
        left.merge(&right);
        assert_eq!((left.count(), left.sum(), left.max()), (2, 1_010, 1_000));
        assert_eq!(Histogram::default().quantile(0.5), 0);
    }
}
