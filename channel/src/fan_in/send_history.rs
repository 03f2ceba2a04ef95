//! Which path a producer's next message takes: a shared slot or its lane.

use super::{
    lane::LaneId,
    shared_slots::{SharedSlots, SlotIndex},
};

/// Messages that a producer puts into one set, one after the other, before it takes to its lane.
#[cfg(not(loom))]
const BURST: u8 = 16;
#[cfg(loom)]
const BURST: u8 = 2;

/// Messages in a row that go by the slots to a receiver that is awake with nothing else to do.
#[cfg(not(loom))]
const STREAK: u8 = 8;
#[cfg(loom)]
const STREAK: u8 = 3;

/// How a producer has fared with the slots of late, by which it chooses between them and its lane.
#[derive(Debug)]
pub(crate) struct SendHistory {
    /// Where the last message was put; `NONE` when there is none of this producer's in any slot.
    last: u8,
    /// Messages in a row that were put into one set, each behind the one before: meanwhile the receiver has
    /// not come by.
    burst: u8,
    /// Messages in a row that found the receiver awake with nothing else to do: it would linger over a
    /// lane, and the ring is the cheaper way then.
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

    /// Whether the next message should go by the lane, for it is cheaper for many.
    #[inline]
    pub(crate) fn prefers_lane(&self) -> bool {
        self.burst >= BURST || self.streak >= STREAK
    }

    /// A message was put into the slot of `claim`; `alone` if the receiver was awake with nothing else to
    /// do.
    #[inline]
    pub(crate) fn sent_by_slot(&mut self, claim: &SlotIndex, alone: bool) {
        let index = claim.index() as u8;
        let behind = index > self.last && (index ^ self.last) & 1 == 0;
        self.burst = if behind { self.burst + 1 } else { 1 };
        self.last = index;
        self.streak = if alone { self.streak + 1 } else { 0 };
    }

    /// A message went by the lane.
    #[inline]
    pub(crate) fn sent_by_lane(&mut self) {
        (self.burst, self.streak) = (0, 0);
    }

    /// The producer has to wait for room: its next message goes by the lane.
    pub(crate) fn waited(&mut self) {
        self.streak = STREAK;
    }
}
