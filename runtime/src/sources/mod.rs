//! What brings an actor messages besides its mailbox: timers, streams, futures.
//!
//! They are polled by the actor's own task, between two messages, so that no task outlives the
//! incarnation and nothing of an old one can arrive later. What is taken from them, and when, is
//! decided in [`task`](crate::task).

mod handle;
mod ready;
mod set;

pub use self::handle::SourceHandle;
pub(crate) use self::set::{Set, Source};

use std::task::Waker;

/// The sources of an incarnation, by the class of their messages.
pub(crate) struct Sources<H, L> {
    pub(crate) high: Set<H>,
    pub(crate) low: Set<L>,
}

impl<H, L> Sources<H, L> {
    /// No sources; those that are added wake `task`.
    pub(crate) fn new(task: &Waker) -> Self {
        Self {
            high: Set::new(task.clone()),
            low: Set::new(task.clone()),
        }
    }

    /// Drops timers and streams. Futures stay.
    pub(crate) fn keep_futures(&mut self) {
        self.high.keep_futures();
        self.low.keep_futures();
    }

    /// Whether there is a future that has not completed.
    pub(crate) fn has_futures(&self) -> bool {
        self.high.has_futures() || self.low.has_futures()
    }
}
