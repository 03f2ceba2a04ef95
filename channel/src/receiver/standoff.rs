//! When a receiver keeps away from its producers for a moment, although a look costs little.
//!
//! One that looks again at once takes every message as it is written, and then both sides wait for the same
//! cache lines with each: dear in a stream, while a message that comes alone is to be seen soon. The receiver
//! finds out which it is: it keeps away now and then, and goes on to do so for as long as that pays.

use crate::sync::{park, spin_loop};

/// Pauses of a receiver that keeps away: some 300 ns.
const PAUSES: u32 = 24;
/// Messages that must have come in that time, for a thread that would have gone on looking.
const WORTH_OF_A_SPIN: u32 = 2;
/// The same for a task that would have gone to sleep.
const WORTH_OF_A_WAKE_UP: u32 = 8;
/// Waits before the first attempt: many receivers do not live to see more.
const FIRST_GAP: u32 = 16;
/// Waits from one attempt that was not worth it to the next, at most.
const MAX_GAP: u32 = 1024;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Standoff {
    /// Messages since the last wait.
    run: u32,
    standing_off: bool,
    /// Waits left until the next attempt.
    gap: u32,
    /// The gap after the next attempt that is not worth it.
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

    /// Calls `attempt` as [`park::spin`] does.
    #[inline]
    pub(crate) fn spin<R>(&mut self, mut attempt: impl FnMut() -> Option<R>) -> Option<R> {
        let first = attempt();
        if first.is_some() {
            self.record(1);
            return first;
        }
        self.decide(WORTH_OF_A_SPIN);
        if self.standing_off {
            pause();
        }
        park::spin(attempt)
    }

    /// The receiver has taken messages, without a wait since the last.
    #[inline]
    pub(crate) fn record(&mut self, messages: usize) {
        self.run = self.run.wrapping_add(messages as u32);
    }

    /// Whether something came to the lane that a task lingers over, instead of going to sleep, while it kept away.
    #[inline]
    pub(crate) fn outlasts(&mut self, has_come: impl FnOnce() -> bool) -> bool {
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
            // In a model nothing is gained by it.
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

    /// Whether the receiver keeps away at each of `waits` waits, after each of which `run` messages come at once.
    fn stood_off(standoff: &mut Standoff, waits: usize, run: u32) -> usize {
        let wait = |_: &usize| {
            let mut looked = false;
            standoff.spin(|| std::mem::replace(&mut looked, true).then_some(()));
            let away = standoff.standing_off;
            (0..run).for_each(|_| assert!(standoff.spin(|| Some(())).is_some()));
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
        // Every gap is twice the one before.
        let tries = stood_off(&mut standoff, 2 * MAX_GAP as usize, 0);
        assert!((8..=13).contains(&tries), "kept away {tries} times");
        let resting = stood_off(&mut standoff, 10 * MAX_GAP as usize, 0);
        assert!((8..=11).contains(&resting), "kept away {resting} times");
        // The next attempt finds a stream, and so do all that follow.
        let stream = stood_off(&mut standoff, 2 * MAX_GAP as usize, WORTH_OF_A_SPIN);
        assert!(stream >= MAX_GAP as usize, "kept away {stream} times");
    }
}
