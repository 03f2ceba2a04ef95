//! The receiver's cooperative budget: how much it may give before it lets its executor run others.

use std::task::{Context, Poll};

use crate::inbox::Sleep;

#[derive(Debug)]
pub(crate) struct Pace {
    budget: usize,
    left: usize,
}

impl Pace {
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            budget,
            left: budget,
        }
    }

    /// Whether the budget has something left; if not, wakes the task for its next turn.
    #[inline]
    pub(crate) fn may_go_on(&mut self, cx: &mut Context<'_>) -> bool {
        if self.left > 0 {
            return true;
        }
        self.left = self.budget;
        cx.waker().wake_by_ref();
        false
    }

    #[inline]
    pub(crate) fn count(&mut self, messages: usize) {
        self.left = self.left.saturating_sub(messages);
    }

    /// The task is going to pause anyway: the budget is whole again.
    #[inline]
    pub(crate) fn rest(&mut self) {
        self.left = self.budget;
    }

    /// Says `Pending`; a receiver that could not be laid to sleep is polled again soon.
    #[inline]
    pub(crate) fn pause<R>(&mut self, cx: &mut Context<'_>, sleep: Sleep) -> Poll<R> {
        self.rest();
        if sleep == Sleep::Busy {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
