//! The standoff: when a receiver stays away from its producers' cache lines for a moment.
//!
//! A receiver that looks again at once takes each message as it is written, and then both sides
//! wait for the same cache lines at each message. That is expensive in a stream, while a single
//! message should be seen soon. The receiver finds out which case it is in: it tries a standoff
//! from time to time, and repeats it for as long as it pays.

use std::time::Instant;

use crate::sync::{spin, spin_loop};

/// Spin-loop hints in one standoff: about 300 ns.
const PAUSES: u32 = 24;
/// Messages that must have come after a standoff for a spinning thread to repeat it.
const WORTH_OF_A_SPIN: u32 = 2;
/// The same for a task, which would have gone to sleep instead.
const WORTH_OF_A_WAKE_UP: u32 = 8;
/// Waits before the first attempt: many receivers are dropped before they get there.
const FIRST_GAP: u32 = 16;
/// The most waits between two attempts.
const MAX_GAP: u32 = 1024;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Standoff {
    /// Messages since the last wait.
    run: u32,
    standing_off: bool,
    /// Waits until the next attempt, 0 to `MAX_GAP`.
    gap: u32,
    /// The gap to follow the next attempt that does not pay; it doubles each time.
    next_gap: u32,
}

impl Standoff {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self {
            run: 0,
            standing_off: false,
            gap: FIRST_GAP,
            next_gap: 1,
        }
    }

    /// Calls `attempt` as [`spin::spin`] does, with a standoff first if that pays.
    #[inline]
    pub(crate) fn spin<R>(
        &mut self,
        deadline: Option<Instant>,
        mut attempt: impl FnMut() -> Option<R>,
    ) -> Option<R> {
        let first = attempt();
        if first.is_some() {
            self.record(1);
            return first;
        }
        self.decide(WORTH_OF_A_SPIN);
        if self.standing_off {
            pause();
        }
        spin::spin(deadline, attempt)
    }

    /// Records messages received without a wait in between.
    #[inline]
    pub(crate) fn record(&mut self, messages: usize) {
        self.run = self.run.wrapping_add(messages as u32);
    }

    /// Stands off, for a task that lingers over a lane, and returns whether a message came to it
    /// meanwhile.
    #[inline]
    pub(crate) fn stand_off(&mut self, has_come: impl FnOnce() -> bool) -> bool {
        self.decide(WORTH_OF_A_WAKE_UP);
        if !self.standing_off {
            return false;
        }
        pause();
        let came = has_come();
        if !came {
            self.decide(WORTH_OF_A_WAKE_UP);
        }
        came
    }

    fn decide(&mut self, worth: u32) {
        if self.standing_off && self.run >= worth {
            self.next_gap = 1;
        } else if self.standing_off {
            self.gap = self.next_gap;
            self.next_gap = (2 * self.next_gap).min(MAX_GAP);
            self.standing_off = false;
        } else if self.gap > 0 {
            self.gap -= 1;
        } else {
            // A model gains nothing from it.
            self.standing_off = !cfg!(loom);
        }
        self.run = 0;
    }
}

fn pause() {
    (0..PAUSES).for_each(|_| spin_loop());
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{FIRST_GAP, MAX_GAP, Standoff, WORTH_OF_A_SPIN};

    /// In how many of `waits` waits the receiver stands off, if `run` messages come at once after
    /// each.
    fn stood_off(standoff: &mut Standoff, waits: usize, run: u32) -> usize {
        let wait = |_: &usize| {
            let mut looked = false;
            standoff.spin(None, || std::mem::replace(&mut looked, true).then_some(()));
            let away = standoff.standing_off;
            (0..run).for_each(|_| assert!(standoff.spin(None, || Some(())).is_some()));
            away
        };
        (0..waits).filter(wait).count()
    }

    #[test]
    fn a_stream_is_stood_off_from_and_single_messages_hardly_ever() {
        let mut standoff = Standoff::new();
        let first = stood_off(&mut standoff, FIRST_GAP as usize, WORTH_OF_A_SPIN);
        assert_eq!(first, 0);
        assert_eq!(stood_off(&mut standoff, 100, WORTH_OF_A_SPIN), 100);
        // Each gap is twice the one before.
        let tries = stood_off(&mut standoff, 2 * MAX_GAP as usize, 0);
        assert!((8..=13).contains(&tries), "kept away {tries} times");
        let resting = stood_off(&mut standoff, 10 * MAX_GAP as usize, 0);
        assert!((8..=11).contains(&resting), "kept away {resting} times");
        // The next attempt finds a stream, and so do all after it.
        let stream = stood_off(&mut standoff, 2 * MAX_GAP as usize, WORTH_OF_A_SPIN);
        assert!(stream >= MAX_GAP as usize, "kept away {stream} times");
    }
}
