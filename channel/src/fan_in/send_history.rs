//! Which path a producer's next message takes: a shared slot or its lane.

use super::{
    lane::LaneId,
    shared_slots::{SharedSlots, SlotIndex},
};

/// Messages in one set, each behind the one before, after which a producer uses its lane.
#[cfg(not(loom))]
const BURST: u8 = 16;
#[cfg(loom)]
const BURST: u8 = 2;

/// Messages in a row to a receiver that was awake with nothing else to do, after which a producer
/// uses its lane.
#[cfg(not(loom))]
const STREAK: u8 = 8;
#[cfg(loom)]
const STREAK: u8 = 3;

/// What a producer's last sends met, from which it chooses between the shared slots and its lane.
#[derive(Debug)]
pub(crate) struct SendHistory {
    /// The index of the slot of the last message; `NONE` if no slot holds a message of this
    /// producer.
    last: u8,
    /// Messages in a row that were put into one set, each behind the one before: the receiver has
    /// not switched sets meanwhile.
    burst: u8,
    /// Messages in a row that found the receiver awake with nothing else to do. It would linger
    /// over a lane, whose ring is then the cheaper path.
    streak: u8,
}

impl SendHistory {
    /// No slot has this index.
    const NONE: u8 = u8::MAX;

    pub(crate) fn new() -> Self {
        Self {
            last: Self::NONE,
            burst: 0,
            streak: 0,
        }
    }

    /// Messages of the producer of `lane` in the slots.
    pub(crate) fn count<T>(&mut self, slots: &SharedSlots<T>, lane: LaneId<T>) -> usize {
        if self.last == Self::NONE {
            return 0;
        }
        // They are taken in the order in which they were put.
        if slots.is_owner(lane, self.last) {
            return slots.count_of(lane);
        }
        self.last = Self::NONE;
        0
    }

    /// Whether the next message should take the lane, which is cheaper for many messages.
    #[inline]
    pub(crate) fn prefers_lane(&self) -> bool {
        self.burst >= BURST || self.streak >= STREAK
    }

    /// Records a message put into the slot `claim`; `alone` if the receiver was awake with nothing
    /// else to do.
    #[inline]
    pub(crate) fn sent_by_slot(&mut self, claim: &SlotIndex, alone: bool) {
        let index = claim.index() as u8;
        let behind = index > self.last && (index ^ self.last) & 1 == 0;
        self.burst = if behind { self.burst + 1 } else { 1 };
        self.last = index;
        self.streak = if alone { self.streak + 1 } else { 0 };
    }

    /// Records a message sent through the lane.
    #[inline]
    pub(crate) fn sent_by_lane(&mut self) {
        (self.burst, self.streak) = (0, 0);
    }

    /// Records that the producer has to wait for room: its next message takes the lane.
    pub(crate) fn waited(&mut self) {
        self.streak = STREAK;
    }
}
