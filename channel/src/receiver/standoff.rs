//! When a receiver keeps away from its producers for a moment, although a look costs little.
//!
//! One that looks again at once takes every message as it is written, and then both sides wait for the same
//! cache lines with each: dear in a stream, while a message that comes alone is to be seen soon. The receiver
//! finds out which it is: it keeps away now and then, and goes on to do so for as long as that pays.

use crate::{
    receiver::inbox::Inbox,
    sync::{park, spin_loop},
};

/// Pauses of a receiver that keeps away: some 300 ns.
const STAND_OFF: u32 = 24;
/// Messages that must have come in that time, for a thread that would have gone on looking.
const WORTH_SPINNING: u32 = 2;
/// The same for a task that would have gone to sleep.
const WORTH_A_WAKE_UP: u32 = 8;
/// Waits before the first attempt: many receivers do not live to see more.
const FIRST_REST: u32 = 16;
/// Waits from one attempt that was not worth it to the next, at most.
const LONGEST_REST: u32 = 1024;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Chase {
    /// Messages since the last wait.
    run: u32,
    keeps_away: bool,
    /// Waits left until the next attempt.
    rest: u32,
    /// The rest after the next attempt that is not worth it.
    next_rest: u32,
}

impl Chase {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self {
            run: 0,
            keeps_away: false,
            rest: FIRST_REST,
            next_rest: 1,
        }
    }

    /// Calls `attempt` as [`park::spin`] does.
    #[inline]
    pub(crate) fn spin<R>(&mut self, mut attempt: impl FnMut() -> Option<R>) -> Option<R> {
        let first = attempt();
        if first.is_some() {
            self.count(1);
            return first;
        }
        self.choose(WORTH_SPINNING);
        if self.keeps_away {
            pause();
        }
        park::spin(attempt)
    }

    /// The receiver has taken messages, without a wait since the last.
    #[inline]
    pub(crate) fn count(&mut self, messages: usize) {
        self.run = self.run.wrapping_add(messages as u32);
    }

    /// Whether something came to the lane that a task lingers over, instead of going to sleep, while it kept away.
    #[inline]
    pub(crate) fn outwaits<T>(&mut self, inbox: &Inbox<T>) -> bool {
        if !inbox.lingers() {
            return false;
        }
        self.choose(WORTH_A_WAKE_UP);
        if !self.keeps_away {
            return false;
        }
        pause();
        let came = inbox.has_lingered_for();
        if !came {
            self.choose(WORTH_A_WAKE_UP);
        }
        came
    }

    fn choose(&mut self, worth: u32) {
        if self.keeps_away && self.run >= worth {
            self.next_rest = 1;
        } else if self.keeps_away {
            self.rest = self.next_rest;
            self.next_rest = (2 * self.next_rest).min(LONGEST_REST);
            self.keeps_away = false;
        } else if self.rest > 0 {
            self.rest -= 1;
        } else {
            // In a model nothing is gained by it.
            self.keeps_away = !cfg!(loom);
        }
        self.run = 0;
    }
}

fn pause() {
    (0..STAND_OFF).for_each(|_| spin_loop());
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Chase, FIRST_REST, LONGEST_REST, WORTH_SPINNING};

    /// Whether the receiver keeps away at each of `waits` waits, after each of which `run` messages come at once.
    fn kept_away(chase: &mut Chase, waits: usize, run: u32) -> usize {
        let wait = |_: &usize| {
            let mut looked = false;
            chase.spin(|| std::mem::replace(&mut looked, true).then_some(()));
            let away = chase.keeps_away;
            (0..run).for_each(|_| assert!(chase.spin(|| Some(())).is_some()));
            away
        };
        (0..waits).filter(wait).count()
    }

    #[test]
    fn a_stream_is_kept_away_from_and_single_messages_hardly_ever() {
        let mut chase = Chase::new();
        let first = kept_away(&mut chase, FIRST_REST as usize, WORTH_SPINNING);
        assert_eq!(first, 0);
        assert_eq!(kept_away(&mut chase, 100, WORTH_SPINNING), 100);
        // Every rest is twice the one before.
        let tries = kept_away(&mut chase, 2 * LONGEST_REST as usize, 0);
        assert!((8..=13).contains(&tries), "kept away {tries} times");
        let resting = kept_away(&mut chase, 10 * LONGEST_REST as usize, 0);
        assert!((8..=11).contains(&resting), "kept away {resting} times");
        // The next attempt finds a stream, and so do all that follow.
        let stream = kept_away(&mut chase, 2 * LONGEST_REST as usize, WORTH_SPINNING);
        assert!(stream >= LONGEST_REST as usize, "kept away {stream} times");
    }
}
