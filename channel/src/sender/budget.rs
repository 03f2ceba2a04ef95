//! The cooperative budget of a sender: how many messages its async functions send before they let
//! the executor run other tasks.
//!
//! It is counted by the handle and not by the task, so it needs no runtime. A pause comes before a
//! message is sent, never after, so that a future that is dropped in it has sent nothing.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use super::Sender;
use crate::sync::clock;

/// Messages from one look at the clock to the next. Twice as many go without a pause, however slow
/// they are.
const STEP: u32 = 64;
/// How long a sender goes on without a pause from its first look at the clock, in microseconds.
const TIME_SLICE: u32 = 50;

#[derive(Debug)]
pub(super) struct SendBudget {
    /// Messages until the sender pauses, or looks at the clock.
    left: u32,
    /// When the time slice ends, by [`clock::micros`]; 0 before the first look at the clock.
    until: u32,
}

impl SendBudget {
    /// A budget of `messages`, or one that goes by time.
    pub(super) fn new(messages: Option<usize>) -> Self {
        let left = messages.map_or(STEP, |count| u32::try_from(count).unwrap_or(u32::MAX));
        Self { left, until: 0 }
    }

    /// Takes `messages` from the budget, or all that is left of it. `false` if nothing is left.
    #[inline]
    pub(super) fn spend(&mut self, messages: usize) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left = (self.left as usize).saturating_sub(messages) as u32;
        true
    }

    /// The budget after it has been spent: `true` if there is more of it, `false` if it is time to
    /// pause.
    fn extend(&mut self, messages: Option<usize>) -> bool {
        if messages.is_some() {
            return false;
        }
        let until = self.until;
        match (clock::micros(), until) {
            (now, 0) => {
                // 0 stands for no look yet.
                self.until = now.map_or(1, |now| now.wrapping_add(TIME_SLICE).max(1));
            }
            // More than a slice before its end is after it.
            (Some(now), _) if until.wrapping_sub(now) <= TIME_SLICE => {}
            _ => return false,
        }
        self.left = STEP;
        true
    }
}

impl<T> Sender<T> {
    /// Called by an async function before it sends `messages`; a batch is counted when it has been
    /// sent.
    #[inline]
    pub(crate) async fn cooperate(&mut self, messages: usize) {
        while !self.budget.spend(messages) {
            poll_fn(|cx| self.poll_budget(cx)).await;
        }
    }

    /// Ready if something is left of the budget. If not, wakes the task for its next turn, for
    /// which the budget is whole again.
    #[cold]
    fn poll_budget(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.budget.left > 0 || self.budget.extend(self.fan_in.config.budget) {
            return Poll::Ready(());
        }
        self.reset_budget();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The same for a poll function, which sends one message once it is ready.
    #[inline]
    pub(super) fn poll_cooperate(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.budget.spend(1) {
            if self.poll_budget(cx).is_pending() {
                return Poll::Pending;
            }
            self.budget.spend(1);
        }
        Poll::Ready(())
    }

    /// The task pauses in any case.
    pub(super) fn reset_budget(&mut self) {
        self.budget = SendBudget::new(self.fan_in.config.budget);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{STEP, SendBudget};

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
        let now = crate::sync::clock::micros().unwrap();
        let over = |until: u32| {
            let mut budget = SendBudget { left: 0, until };
            !budget.extend(None)
        };
        assert!(!over(now.wrapping_add(super::TIME_SLICE).max(1)));
        assert!(over(now.wrapping_sub(1).max(1)));
        assert!(over(now.wrapping_add(1 << 31).max(1)));
    }
}
