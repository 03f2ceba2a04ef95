//! How the async functions of a sender take part in the cooperative budget.
//!
//! A pause comes before a message is sent, never after, so that a future that is dropped in a pause
//! has sent nothing.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use super::{Sender, budget::SendBudget};

impl<T> Sender<T> {
    /// Spends `messages` of the budget, after a pause if it is used up. Called by an async function
    /// before it sends; a batch is counted after it was sent.
    #[inline]
    pub(crate) async fn cooperate(&mut self, messages: usize) {
        while !self.budget.spend(messages) {
            poll_fn(|cx| self.poll_budget(cx)).await;
        }
    }

    #[inline]
    fn poll_budget(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.budget.poll(self.fan_in.config.budget(), cx)
    }

    /// As `cooperate(1)`, for a poll function, which sends one message once it is ready.
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

    /// Restores the whole budget, because the task pauses in any case.
    pub(super) fn reset_budget(&mut self) {
        self.budget = SendBudget::new(self.fan_in.config.budget());
    }
}
