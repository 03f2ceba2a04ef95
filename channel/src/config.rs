//! The settings of one class of messages, as its fan-in, receiver and senders read them.

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
    /// Half of a lane's capacity: as much room is worth going on for.
    #[inline]
    pub(crate) fn half(&self) -> usize {
        (self.lane_capacity / 2).max(1)
    }
}
