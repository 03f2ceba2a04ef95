//! What the event loop of an incarnation remembers from one message to the next.

use crate::actor::{coop_budget::CoopBudget, fairness::Fairness};

/// Messages between two publications of the counters.
const PUBLISH_INTERVAL: u32 = 128;

/// The class of the message that its handler has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Handling {
    #[default]
    Nothing,
    High,
    Low,
}

/// Reset at the start of each incarnation.
#[derive(Debug, Default)]
pub(crate) struct LoopState {
    pub(crate) fairness: Fairness,
    pub(crate) budget: CoopBudget,
    /// Messages since the counters were published; 0 when the loop was idle since.
    pub(crate) since_publish: u32,
    /// The next message of a batch is handed out whatever waits.
    pub(crate) batch_grant: bool,
    /// Whether all handles are gone and the mailbox is empty.
    pub(crate) is_closed: bool,
    /// Whether the `started` hook has finished.
    pub(crate) is_started: bool,
    /// Which message a handler has.
    pub(crate) handling: Handling,
    /// When that message expires, as in its envelope.
    pub(crate) expires: u64,
    /// Messages that the handler of a batch has put aside after it took them all at once.
    pub(crate) put_aside: u32,
    /// When the handling of the current message began, as a raw reading of the clock; 0 if it is
    /// not measured.
    pub(crate) handling_since: u64,
    /// Whether the mailbox was empty at the last look.
    pub(crate) was_idle: bool,
}

impl LoopState {
    #[inline(always)]
    pub(crate) fn took_high(&mut self) {
        self.fairness.took_high();
        self.budget.spend();
    }

    #[inline(always)]
    pub(crate) fn took_low(&mut self) {
        self.fairness.took_low();
        self.budget.spend();
    }

    /// The loop did something that is not a message.
    pub(crate) fn mark_busy(&mut self) {
        self.since_publish = self.since_publish.max(1);
    }

    /// Counts a message. Returns whether the counters are due to be published.
    #[inline(always)]
    pub(crate) fn count_message(&mut self) -> bool {
        self.since_publish += 1;
        let is_due = self.since_publish >= PUBLISH_INTERVAL;
        if is_due {
            self.since_publish = 1;
        }
        is_due
    }
}
