//! How long to wait before a restart.

use std::time::Duration;

use crate::util::random::splitmix;

/// How long to wait before a restart: exponentially longer each time, with jitter.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lanemesh_runtime::supervision::Backoff;
///
/// let backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1)).jitter(0.0);
/// assert_eq!(backoff.delay(1, 0), Duration::from_millis(10));
/// assert_eq!(backoff.delay(3, 0), Duration::from_millis(40));
/// assert_eq!(backoff.delay(99, 0), Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    factor: f64,
    jitter: f64,
}

impl Backoff {
    /// Waits `first` before the first restart and twice as long before each further one, up to
    /// `max`, with a jitter of 0.2.
    pub fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            factor: 2.0,
            jitter: 0.2,
        }
    }

    /// Always restarts at once.
    pub fn none() -> Self {
        Self {
            first: Duration::ZERO,
            max: Duration::ZERO,
            factor: 1.0,
            jitter: 0.0,
        }
    }

    /// The factor between one wait and the next; at least 1.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor.max(1.0);
        self
    }

    /// The random share of each wait, from 0 to 1: a wait of 100 ms with a jitter of 0.2 takes 80
    /// to 100 ms.
    pub fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter.clamp(0.0, 1.0);
        self
    }

    /// The wait before the `attempt`-th restart, counted from 1; `seed` decides the jitter.
    pub fn delay(&self, attempt: u32, seed: u64) -> Duration {
        let exponent = attempt.saturating_sub(1).min(1_000) as i32;
        let full = self.first.as_secs_f64() * self.factor.powi(exponent);
        let full = full.min(self.max.as_secs_f64());
        let chance = (splitmix(seed) >> 11) as f64 / (1u64 << 53) as f64;
        Duration::try_from_secs_f64(full * (1.0 - self.jitter * chance)).unwrap_or(self.max)
    }
}

impl Default for Backoff {
    /// From 10 ms to 1 s.
    fn default() -> Self {
        Self::new(Duration::from_millis(10), Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_only_shortens() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1)).jitter(0.5);
        for seed in 0..1_000 {
            let delay = backoff.delay(1, seed);
            assert!(delay <= Duration::from_millis(100) && delay >= Duration::from_millis(50));
        }
        assert_ne!(backoff.delay(1, 1), backoff.delay(1, 2));
    }
}
