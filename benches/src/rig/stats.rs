//! Medians, percentiles, geometric means and ratios.

use hdrhistogram::Histogram;

/// Whether more or less of a quantity is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// As of messages a second.
    Higher,
    /// As of nanoseconds or bytes.
    Lower,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Millions of messages a second.
    MillionsPerSecond,
    /// Nanoseconds for each message.
    NanosPerMessage,
    /// Nanoseconds.
    Nanos,
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// Bytes of heap.
    Bytes,
    /// A number of things.
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

    /// The unit of this name, if there is one.
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
            Unit::Count => "in number",
        }
    }

    /// Which way is up.
    pub fn better(self) -> Better {
        match self {
            Unit::MillionsPerSecond | Unit::Count => Better::Higher,
            _ => Better::Lower,
        }
    }

    /// A rate of `count` messages in `nanos` nanoseconds, where the unit is one of rate.
    ///
    /// # Panics
    ///
    /// When the unit is not one of rate.
    pub fn rate(self, count: u64, nanos: f64) -> f64 {
        match self {
            Unit::MillionsPerSecond => count as f64 * 1e3 / nanos,
            Unit::NanosPerMessage => nanos / count as f64,
            other => panic!("{} is not a rate", other.name()),
        }
    }
}

/// The median: of an even number of values, the mean of the middle two. `None` of no values.
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

/// The geometric mean of positive values. `None` of no values, or when one is not positive.
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() || values.iter().any(|value| value.is_nan() || *value <= 0.0) {
        return None;
    }
    let sum: f64 = values.iter().map(|value| value.ln()).sum();
    Some((sum / values.len() as f64).exp())
}

/// How many times as good `value` is as `measure`: above 1 is better, whatever the unit.
pub fn times_as_good(value: f64, measure: f64, better: Better) -> f64 {
    match better {
        Better::Higher => value / measure,
        Better::Lower => measure / value,
    }
}

/// The best of some values.
pub fn best(values: impl IntoIterator<Item = f64>, better: Better) -> Option<f64> {
    values.into_iter().reduce(|a, b| match better {
        Better::Higher => a.max(b),
        Better::Lower => a.min(b),
    })
}

/// A histogram of nanoseconds, up to about ten minutes, to three digits.
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
            .unwrap_or_else(|error| panic!("the bounds are constants: {error:?}"));
        Latencies(histogram)
    }

    /// Records one latency; one beyond the limit counts as the limit.
    pub fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos.clamp(1, Self::LIMIT));
    }

    /// The latency, in nanoseconds, that this part of all stayed below; `quantile` from 0 to 1.
    pub fn at(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64
    }

    /// Number of latencies recorded.
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
