//! Queueing delay: a time stamp when a lane is pushed onto the ready list, read when the receiver
//! visits the lane.
//!
//! One clock reading each time that an idle lane becomes ready, none for the messages that follow
//! it, and nothing at all without the `quanta` feature.

#[cfg(feature = "quanta")]
pub use self::clocked::DelayStats;
#[cfg(feature = "quanta")]
pub(crate) use self::clocked::Stamp;

/// An empty stamp, without the `quanta` feature.
#[cfg(not(feature = "quanta"))]
#[derive(Debug)]
pub(crate) struct Stamp;

#[cfg(not(feature = "quanta"))]
impl Stamp {
    pub(crate) fn new() -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn set(&self) {}
}

#[cfg(feature = "quanta")]
mod clocked {
    use std::{
        sync::{
            LazyLock,
            atomic::{AtomicU64, Ordering},
        },
        time::Duration,
    };

    static CLOCK: LazyLock<quanta::Clock> = LazyLock::new(quanta::Clock::new);

    #[derive(Debug)]
    pub(crate) struct Stamp(AtomicU64);

    impl Stamp {
        pub(crate) fn new() -> Self {
            Self(AtomicU64::new(0))
        }

        #[inline]
        pub(crate) fn set(&self) {
            // ORDERING: Relaxed; whatever publishes the lane or the message publishes the stamp.
            self.0.store(CLOCK.raw(), Ordering::Relaxed);
        }

        pub(crate) fn elapsed(&self) -> Duration {
            // ORDERING: as in `set`.
            CLOCK.delta(self.0.load(Ordering::Relaxed), CLOCK.raw())
        }
    }

    /// How long lanes waited from becoming ready until the receiver visited them.
    ///
    /// A sample is taken of the message that makes an idle lane ready, or wakes the receiver: it
    /// waits longer than those that follow it. Samples are counted in buckets of powers of two
    /// nanoseconds.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct DelayStats {
        /// The number of samples.
        pub samples: u64,
        /// Sum of all samples, in nanoseconds.
        pub total_nanos: u64,
        /// The longest sample, in nanoseconds.
        pub max_nanos: u64,
        /// `buckets[n]` counts samples of at least 2ⁿ and less than 2ⁿ⁺¹ ns; the first starts at 0,
        /// and the last is unbounded.
        pub buckets: [u64; 32],
    }

    impl DelayStats {
        pub(crate) fn record(&mut self, delay: Duration) {
            let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
            self.samples += 1;
            self.total_nanos = self.total_nanos.saturating_add(nanos);
            self.max_nanos = self.max_nanos.max(nanos);
            self.buckets[(nanos.max(1).ilog2() as usize).min(31)] += 1;
        }

        /// The delay that a share `quantile` (0 to 1) of the samples did not exceed, rounded up to
        /// the end of its bucket; zero without samples.
        pub fn quantile(&self, quantile: f64) -> Duration {
            let wanted = (self.samples as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64;
            let mut seen = 0;
            for (n, count) in self.buckets.iter().enumerate() {
                seen += count;
                if seen >= wanted.max(1) {
                    return Duration::from_nanos(self.max_nanos.min(1 << (n + 1)));
                }
            }
            Duration::ZERO
        }
    }
}
