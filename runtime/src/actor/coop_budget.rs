//! The actor's share in tokio's cooperative budget.

use std::task::{Context, Poll, ready};

use tokio::task::coop;

/// Messages for one unit of the budget: to take a unit costs more than a small handler does.
const MESSAGES_PER_UNIT: u8 = 8;

/// What is left of the last unit. It is for the next messages, whenever they come.
#[derive(Debug, Default)]
pub(crate) struct CoopBudget {
    messages: u8,
}

impl CoopBudget {
    /// Takes a unit if none is left; pending if the task has used up its budget.
    #[inline(always)]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.messages == 0 {
            ready!(coop::poll_proceed(cx)).made_progress();
            self.messages = MESSAGES_PER_UNIT;
        }
        Poll::Ready(())
    }

    /// A message has been taken.
    #[inline(always)]
    pub(crate) fn spend(&mut self) {
        self.messages = self.messages.saturating_sub(1);
    }

    /// A batch has been taken: it uses up a unit.
    pub(crate) fn spend_all(&mut self) {
        self.messages = 0;
    }
}
