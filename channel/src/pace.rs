//! The receiver's cooperative budget: how much it may give before it lets its executor run others.

use std::task::{Context, Poll};

use crate::inbox::{Inbox, Sleep};

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

    /// Polls one class with `take`, which says what it took and how many messages that counts for. `None` when
    /// the class is closed and drained.
    #[inline]
    pub(crate) fn poll<T, R>(
        &mut self,
        inbox: &mut Inbox<T>,
        cx: &mut Context<'_>,
        mut take: impl FnMut(&mut Inbox<T>) -> Option<(R, usize)>,
    ) -> Poll<Option<R>> {
        if !self.may_go_on(cx) {
            return Poll::Pending;
        }
        loop {
            if let Some((found, count)) = take(inbox) {
                self.count(count);
                return Poll::Ready(Some(found));
            }
            match inbox.sleep(cx.waker()) {
                Sleep::Ready => {}
                Sleep::Closed => return Poll::Ready(None),
                sleep => return self.pause(cx, sleep),
            }
        }
    }

    /// Says `Pending`; a receiver that could not be laid to sleep is polled again soon.
    #[inline]
    pub(crate) fn pause<R>(&mut self, cx: &mut Context<'_>, sleep: Sleep) -> Poll<R> {
        self.rest();
        if sleep == Sleep::Busy {
            cx.waker().wake_by_ref();
            // A model must be told that it is another thread's turn.
            #[cfg(loom)]
            crate::sync::yield_now();
        }
        Poll::Pending
    }
}
