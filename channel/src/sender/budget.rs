//! The cooperative budget of a sender: how many messages its async functions send before they yield
//! to their executor.
//!
//! The handle counts it, not the task, so that it needs no runtime.

use std::task::{Context, Poll};

use crate::sync::clock;

/// Messages between two looks at the clock. A sender sends at least twice as many before it yields.
const STEP: u32 = 64;
/// How long a sender goes on after its first look at the clock, in microseconds.
const TIME_SLICE: u32 = 50;

#[derive(Debug)]
pub(crate) struct SendBudget {
    /// Messages until the sender yields or looks at the clock.
    left: u32,
    /// When the time slice ends, by [`clock::micros`]; 0 before the first look at the clock.
    until: u32,
}

impl SendBudget {
    /// A budget of `messages`, or by default one that depends on time.
    #[inline]
    pub(crate) fn new(messages: Option<usize>) -> Self {
        let left = messages.map_or(STEP, |count| u32::try_from(count).unwrap_or(u32::MAX));
        Self { left, until: 0 }
    }

    /// Takes `messages` from the budget, or all that is left of it. `false` if nothing is left.
    #[inline]
    pub(crate) fn spend(&mut self, messages: usize) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left = (self.left as usize).saturating_sub(messages) as u32;
        true
    }

    /// Extends a spent budget, of the setting `messages`: `true` if there is more of it, `false` if
    /// it is time to yield.
    fn extend(&mut self, messages: Option<usize>) -> bool {
        messages.is_none() && self.extend_at(clock::micros())
    }

    /// As `extend`, for a budget that goes by time, at the time `now`.
    fn extend_at(&mut self, now: Option<u32>) -> bool {
        let until = self.until;
        match (now, until) {
            (now, 0) => {
                // 0 means that there was no look yet.
                self.until = now.map_or(1, |now| now.wrapping_add(TIME_SLICE).max(1));
            }
            // A remainder of more than a slice means that the end has passed.
            (Some(now), _) if until.wrapping_sub(now) <= TIME_SLICE => {}
            _ => return false,
        }
        self.left = STEP;
        true
    }

    /// Ready if something is left of the budget, of the setting `messages`. If not, restores it and
    /// wakes the task, so that it is polled again.
    #[cold]
    pub(crate) fn poll(&mut self, messages: Option<usize>, cx: &mut Context<'_>) -> Poll<()> {
        if self.left > 0 || self.extend(messages) {
            return Poll::Ready(());
        }
        *self = Self::new(messages);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{STEP, SendBudget, TIME_SLICE};

    #[test]
    fn a_budget_that_goes_by_time_is_at_least_two_steps_and_ends() {
        let mut budget = SendBudget::new(None);
        let mut sent = 0_u32;
        loop {
            while budget.spend(1) {
                sent += 1;
            }
            if !budget.extend(None) {
                break;
            }
        }
        assert!(sent >= 2 * STEP, "{sent} messages");
    }

    #[test]
    fn a_slice_that_has_ended_is_told_from_one_that_has_not_across_the_wrap() {
        for now in [0, 1, 1 << 31, u32::MAX - TIME_SLICE, u32::MAX] {
            let over = |until: u32| {
                let mut budget = SendBudget { left: 0, until };
                !budget.extend_at(Some(now))
            };
            // Until 0 would mean that there was no look yet.
            assert!(!over(now.wrapping_add(TIME_SLICE).max(1)));
            assert!(over(now.wrapping_sub(2)));
            assert!(over(now.wrapping_add(1 << 31).max(1)));
        }
    }
}
