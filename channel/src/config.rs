//! The settings of one class of messages, as its fan-in, receiver and senders read them.

use std::alloc::Layout;

/// How the lanes of one class are laid out.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Config {
    // What each send needs comes first, beside what else it needs of the fan_in.
    /// One less than the largest power of two within half of the capacity, rounded up.
    pub(crate) notify_mask: u32,
    pub(crate) unfenced_after: u32,
    pub(crate) lane_capacity: usize,
    pub(crate) first_ring: usize,
    pub(crate) burst: usize,
    pub(crate) budget: Option<usize>,
    pub(crate) shared_slots: usize,
}

impl Config {
    /// Sees that a lane's first ring can be allocated. A larger ring follows only a full one, so it can be, too, as far
    /// as memory goes.
    #[track_caller]
    pub(crate) fn assert_allocatable<T>(&self) {
        let messages = self.first_ring.min(self.lane_capacity);
        assert!(
            Layout::array::<T>(messages).is_ok(),
            "a first ring of {messages} messages of {} bytes cannot be allocated",
            size_of::<T>()
        );
    }

    /// Half of a lane's capacity: as much room is worth going on for.
    #[inline]
    pub(crate) fn half(&self) -> usize {
        (self.lane_capacity / 2).max(1)
    }
}
