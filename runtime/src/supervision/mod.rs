//! How failures are answered: which children restart, how often, how soon.
//!
//! These are the rules as values. They are carried out by the child's own task, and for the
//! strategies that concern siblings by a task of the group, never by the parent's handlers: a
//! parent that waits for its child cannot keep the child from coming back.

pub(crate) mod group;

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use crate::exit::ExitReason;

/// When an actor is started again after its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Whatever the end was, unless it was asked to stop or all its handles are gone.
    Permanent,
    /// After a failure only.
    Transient,
    /// Never.
    #[default]
    Temporary,
}

impl Restart {
    pub(crate) fn applies(self, reason: &ExitReason) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => reason.is_failure(),
            Self::Temporary => false,
        }
    }
}

/// Which siblings are restarted together with a child that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// None: the child alone.
    #[default]
    OneForOne,
    /// All of them, stopped in reverse order of their start and started again in order.
    OneForAll,
    /// Those that were started after it, in the same manner.
    RestForOne,
}

/// How long to wait before a restart: exponentially longer each time, with jitter.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lanemesh_runtime::Backoff;
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
    /// Waits `first` before the first restart, twice as long before each next, up to `max`, with
    /// a fifth of jitter.
    pub fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            factor: 2.0,
            jitter: 0.2,
        }
    }

    /// Restarts at once, always.
    pub fn none() -> Self {
        Self {
            first: Duration::ZERO,
            max: Duration::ZERO,
            factor: 1.0,
            jitter: 0.0,
        }
    }

    /// By how much each wait is longer than the last; at least 1.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor.max(1.0);
        self
    }

    /// The share of each wait, 0 to 1, that is left to chance: a wait of 100 ms with a jitter of
    /// 0.2 takes 80 to 100 ms.
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
    /// 10 ms up to 1 s.
    fn default() -> Self {
        Self::new(Duration::from_millis(10), Duration::from_secs(1))
    }
}

/// One step of Steele, Lea and Flood's SplitMix64 (OOPSLA 2014).
pub(crate) fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// How a group of children is supervised.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lanemesh_runtime::{Backoff, Strategy, Supervision};
///
/// let supervision = Supervision::new(Strategy::RestForOne)
///     .intensity(5, Duration::from_secs(10))
///     .backoff(Backoff::none());
/// # let _ = supervision;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Supervision {
    pub(crate) strategy: Strategy,
    pub(crate) restarts: u32,
    pub(crate) within: Duration,
    pub(crate) backoff: Backoff,
}

impl Supervision {
    /// Supervises with a strategy, five restarts in ten seconds, and [`Backoff::default`].
    pub fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            restarts: 5,
            within: Duration::from_secs(10),
            backoff: Backoff::default(),
        }
    }

    /// Allows `restarts` restarts of the group within any window of `within`. One more, and the
    /// group fails: the failing child ends for good, and the failure goes up to the parent. Under
    /// a [`System`](crate::System) the siblings go on meanwhile.
    pub fn intensity(mut self, restarts: u32, within: Duration) -> Self {
        self.restarts = restarts;
        self.within = within;
        self
    }

    /// How long to wait before each restart.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }
}

impl Default for Supervision {
    fn default() -> Self {
        Self::new(Strategy::OneForOne)
    }
}

/// The restarts of the last window.
#[derive(Debug, Default)]
pub(crate) struct Window(VecDeque<Instant>);

impl Window {
    /// Counts one more restart. How many are in the window now, or none if that is one too many.
    pub(crate) fn admit(&mut self, now: Instant, rules: &Supervision) -> Option<u32> {
        while self
            .0
            .front()
            .is_some_and(|at| now.duration_since(*at) > rules.within)
        {
            self.0.pop_front();
        }
        if self.0.len() >= rules.restarts as usize {
            return None;
        }
        self.0.push_back(now);
        Some(self.0.len() as u32)
    }
}

/// A seed for jitter: different for each actor and each time.
pub(crate) fn seed(id: u64) -> u64 {
    let time = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    crate::testing::seeded()
        .unwrap_or(time.as_nanos() as u64)
        .wrapping_add(splitmix(id))
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

    #[test]
    fn window_slides() {
        let rules = Supervision::default().intensity(2, Duration::from_secs(10));
        let start = Instant::now();
        let mut window = Window::default();
        assert_eq!(window.admit(start, &rules), Some(1));
        assert_eq!(
            window.admit(start + Duration::from_secs(9), &rules),
            Some(2)
        );
        assert_eq!(window.admit(start + Duration::from_secs(10), &rules), None);
        assert_eq!(
            window.admit(start + Duration::from_secs(11), &rules),
            Some(2)
        );
    }
}
