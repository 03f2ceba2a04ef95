//! Low messages that were taken out of the lanes before it is their turn.
//!
//! An actor that is behind takes several at a time, which costs less than one by one. They are
//! queued like those in the lanes: high messages overtake them, and a restart keeps them.

use std::collections::VecDeque;

/// The messages that were taken ahead, oldest first.
pub(crate) struct Ahead<T> {
    #[expect(
        clippy::box_collection,
        reason = "most actors are never behind, and an idle one should be small"
    )]
    queue: Option<Box<VecDeque<T>>>,
    /// How many may be taken at a time; 0 and 1 mean none.
    limit: u8,
}

impl<T> Ahead<T> {
    #[inline(always)]
    pub(crate) fn new(limit: u8) -> Self {
        Self { queue: None, limit }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    /// The oldest message.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.queue.as_mut()?.pop_front()
    }

    /// Adds messages that come before the others.
    pub(crate) fn prepend(&mut self, messages: impl DoubleEndedIterator<Item = T>) {
        for message in messages.rev() {
            self.queue.get_or_insert_default().push_front(message);
        }
    }

    /// Takes more messages if none are left: `receive` appends to the vector, up to the limit.
    /// Returns whether it reached the limit, so that there may be more.
    pub(crate) fn refill(&mut self, receive: impl FnOnce(&mut Vec<T>, usize)) -> bool {
        let limit = usize::from(self.limit);
        if limit <= 1 || self.len() > 0 {
            return false;
        }
        let queue = self.queue.get_or_insert_default();
        let mut taken = Vec::from(std::mem::take(&mut **queue));
        receive(&mut taken, limit);
        let is_full = taken.len() == limit;
        **queue = taken.into();
        is_full
    }
}
