//! The settings of one class of messages, as its fan-in, receiver and senders read them.

use std::{alloc::Layout, num::NonZero};

/// The capacity of a lane without a bound: no lane holds as many messages as that.
pub(crate) const UNBOUNDED: usize = isize::MAX as usize / 2;

/// The layout of the lanes of one class, and how the receiver serves them.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Config {
    // What each send needs comes first, next to the other fields of the fan-in that a send reads.
    /// Which messages carry the notify mark: those for which the sender's remaining credit, masked
    /// with this, is zero. One less than the largest power of two that is not more than half of the
    /// capacity, rounded up.
    pub(crate) notify_mask: u32,
    pub(crate) unfenced_after: u32,
    pub(crate) lane_capacity: usize,
    pub(crate) first_ring: usize,
    /// Messages that a lane gives before the next lane is visited; 0 if it gives its newest messages alone.
    pub(crate) burst: usize,
    pub(crate) budget: Option<NonZero<usize>>,
    /// Shared slots of one set that are wanted.
    pub(crate) shared_slots: u32,
    /// Messages that may wait in all lanes together; 0 means that each lane has its own bound only.
    pub(crate) total: u32,
}

impl Config {
    /// Checks that a lane's first ring can be allocated. A larger ring follows only a full one, so
    /// apart from a lack of memory it can be, too.
    #[track_caller]
    pub(crate) fn assert_allocatable<T>(&self) {
        let messages = self.first_ring.min(self.lane_capacity);
        assert!(
            Layout::array::<T>(messages).is_ok(),
            "a first ring of {messages} messages of {} bytes cannot be allocated",
            size_of::<T>()
        );
    }

    /// The messages between two pauses of async functions; `None` if that goes by time.
    #[inline]
    pub(crate) fn budget(&self) -> Option<usize> {
        self.budget.map(NonZero::get)
    }

    /// Whether the receiver drops all messages of a lane but the newest half of its capacity.
    #[inline]
    pub(crate) fn drops_oldest(&self) -> bool {
        self.burst == 0
    }

    /// Half of a lane's capacity, at least 1: the room at which a waiting sender is woken.
    #[inline]
    pub(crate) fn half(&self) -> usize {
        (self.lane_capacity / 2).max(1)
    }
}
