//! Whether the wall clock was set back.
//!
//! Times in the log are those of the wall clock, since they hold over restarts. Within a process what waits for a time
//! must not wait for hours because somebody has set the clock back.

use std::time::{Duration, Instant};

/// Less is no step: a clock that runs too fast is slowed down.
const LEAST: u64 = 1000;

#[derive(Debug)]
pub(super) struct Clock {
    /// In milliseconds since 1970.
    wall: u64,
    at: Instant,
}

impl Clock {
    pub(super) fn new(wall: u64, at: Instant) -> Self {
        Self { wall, at }
    }

    /// By how many milliseconds the wall clock was set back since the last call; 0 if it was not.
    pub(super) fn step_back(&mut self, wall: u64, at: Instant) -> u64 {
        let passed = at.saturating_duration_since(self.at);
        let expected = self.wall.saturating_add(milliseconds(passed));
        *self = Self { wall, at };
        match expected.saturating_sub(wall) {
            0..LEAST => 0,
            step => step,
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_step_back_is_one() {
        let began = Instant::now();
        let after = |milliseconds| began + Duration::from_millis(milliseconds);
        let mut clock = Clock::new(10_000_000, began);
        assert_eq!(clock.step_back(10_000_100, after(100)), 0);
        // Slowed down, set forward, suspended.
        assert_eq!(clock.step_back(10_001_000, after(1_200)), 0);
        assert_eq!(clock.step_back(50_000_000, after(1_300)), 0);
        // Back by an hour, while a second has passed.
        assert_eq!(clock.step_back(46_401_000, after(2_300)), 3_600_000);
        assert_eq!(clock.step_back(46_402_000, after(3_300)), 0);
        assert_eq!(clock.step_back(0, after(3_300)), 46_402_000);
    }
}
