//! Medians, percentiles, geometric means and ratios.

use hdrhistogram::Histogram;

/// Whether a higher or a lower value is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// For example messages per second.
    Higher,
    /// For example nanoseconds or bytes.
    Lower,
}

/// Unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Millions of messages per second.
    MillionsPerSecond,
    /// Nanoseconds per message.
    NanosPerMessage,
    /// Nanoseconds.
    Nanos,
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// Bytes of heap.
    Bytes,
    /// A count without a unit.
    Count,
}

impl Unit {
    /// Every unit.
    const ALL: [Unit; 7] = [
        Unit::MillionsPerSecond,
        Unit::NanosPerMessage,
        Unit::Nanos,
        Unit::Micros,
        Unit::Millis,
        Unit::Bytes,
        Unit::Count,
    ];

    /// The unit with this [`name`](Unit::name).
    pub fn from_name(name: &str) -> Option<Unit> {
        Unit::ALL.into_iter().find(|unit| unit.name() == name)
    }

    /// Name in tables and results.
    pub fn name(self) -> &'static str {
        match self {
            Unit::MillionsPerSecond => "M msg/s",
            Unit::NanosPerMessage => "ns/msg",
            Unit::Nanos => "ns",
            Unit::Micros => "µs",
            Unit::Millis => "ms",
            Unit::Bytes => "B",
            Unit::Count => "count",
        }
    }

    /// Whether figures of subjects are compared: a count says how much was measured, not how well.
    pub fn is_compared(self) -> bool {
        self != Unit::Count
    }

    /// Whether higher or lower is better.
    pub fn better(self) -> Better {
        match self {
            Unit::MillionsPerSecond | Unit::Count => Better::Higher,
            _ => Better::Lower,
        }
    }

    /// The rate of `count` messages in `nanos` nanoseconds.
    ///
    /// # Panics
    ///
    /// If the unit is not a rate.
    pub fn rate(self, count: u64, nanos: f64) -> f64 {
        match self {
            Unit::MillionsPerSecond => count as f64 * 1e3 / nanos,
            Unit::NanosPerMessage => nanos / count as f64,
            other => panic!("{} is not a rate", other.name()),
        }
    }
}

/// The median; for an even number of values, the mean of the middle two. `None` if there are none.
pub fn median(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        Some(sorted[middle])
    } else {
        Some((sorted[middle - 1] + sorted[middle]) / 2.0)
    }
}

/// The geometric mean. `None` if there are no values or one of them is not positive.
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() || values.iter().any(|value| value.is_nan() || *value <= 0.0) {
        return None;
    }
    let sum: f64 = values.iter().map(|value| value.ln()).sum();
    Some((sum / values.len() as f64).exp())
}

/// How many times better `value` is than `reference`: above 1 is better, whatever the unit.
pub fn times_as_good(value: f64, reference: f64, better: Better) -> f64 {
    match better {
        Better::Higher => value / reference,
        Better::Lower => reference / value,
    }
}

/// The best of the values; `None` if there are none.
pub fn best(values: impl IntoIterator<Item = f64>, better: Better) -> Option<f64> {
    values.into_iter().reduce(|a, b| match better {
        Better::Higher => a.max(b),
        Better::Lower => a.min(b),
    })
}

/// A histogram of latencies in nanoseconds, up to ten minutes, with three significant digits.
#[derive(Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Latencies::new()
    }
}

impl Latencies {
    const LIMIT: u64 = 600_000_000_000;

    /// An empty histogram.
    pub fn new() -> Latencies {
        let histogram = Histogram::new_with_bounds(1, Self::LIMIT, 3)
            .unwrap_or_else(|error| panic!("constant bounds are valid: {error:?}"));
        Latencies(histogram)
    }

    /// Records a latency; values above the limit are recorded as the limit.
    pub fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos.clamp(1, Self::LIMIT));
    }

    /// Adds what another histogram has.
    pub fn merge(&mut self, other: &Latencies) {
        // Cannot fail: both have the same limit.
        let _ = self.0.add(&other.0);
    }

    /// The latency in nanoseconds at this quantile, from 0 to 1.
    pub fn at(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64
    }

    /// Number of recorded latencies.
    pub fn count(&self) -> u64 {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_even_and_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn geometric_mean_of_ratios() {
        let mean = geometric_mean(&[2.0, 8.0]).unwrap();
        assert!((mean - 4.0).abs() < 1e-12);
        assert_eq!(geometric_mean(&[]), None);
        assert_eq!(geometric_mean(&[1.0, 0.0]), None);
        assert_eq!(geometric_mean(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn ratio_above_one_is_better_in_both_directions() {
        assert_eq!(times_as_good(30.0, 10.0, Better::Higher), 3.0);
        assert_eq!(times_as_good(10.0, 30.0, Better::Lower), 3.0);
    }

    #[test]
    fn best_follows_the_direction() {
        assert_eq!(best([1.0, 3.0, 2.0], Better::Higher), Some(3.0));
        assert_eq!(best([1.0, 3.0, 2.0], Better::Lower), Some(1.0));
        assert_eq!(best([], Better::Lower), None);
    }

    #[test]
    fn rates_in_both_units() {
        assert_eq!(Unit::MillionsPerSecond.rate(1_000_000, 1e9), 1.0);
        assert_eq!(Unit::NanosPerMessage.rate(1_000_000, 1e9), 1000.0);
    }

    #[test]
    fn percentiles_to_three_digits() {
        let mut latencies = Latencies::new();
        for nanos in 1..=10_000 {
            latencies.record(nanos);
        }
        assert_eq!(latencies.count(), 10_000);
        assert!((latencies.at(0.5) - 5_000.0).abs() <= 5.0);
        assert!((latencies.at(0.99) - 9_900.0).abs() <= 10.0);
        assert!((latencies.at(0.999) - 9_990.0).abs() <= 10.0);
    }

    #[test]
    fn latencies_out_of_bounds_are_kept() {
        let mut latencies = Latencies::new();
        latencies.record(0);
        latencies.record(u64::MAX);
        assert_eq!(latencies.count(), 2);
        assert!(latencies.at(1.0) >= Latencies::LIMIT as f64);
    }
}
