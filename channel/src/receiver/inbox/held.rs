//! A lane that the receiver holds, of one producer or of many.
//!
//! One producer's lane is the common case; a flag tells which it is.

use std::{fmt, ptr::NonNull};

#[cfg(feature = "quanta")]
use crate::delay::Stamp;
use crate::fan_in::{
    lane::{
        Lane,
        held::Held,
        rx::{Emptied, LaneRx},
    },
    shared_lane::SharedLane,
};

/// Messages of a shared lane after which its permits are released, if half of its capacity is more.
const STEP: usize = 64;

pub(super) struct HeldLane<T> {
    lane: LaneRx<T>,
    /// Producers of a shared lane waited for room, and were served.
    served: bool,
}

impl<T> HeldLane<T> {
    /// Takes a lane up.
    ///
    /// # Safety
    ///
    /// As for [`LaneRx::new`].
    #[inline]
    pub(super) unsafe fn new(lane: NonNull<Lane<T>>) -> Self {
        Self {
            // SAFETY: as this function's contract says.
            lane: unsafe { LaneRx::new(lane) },
            served: false,
        }
    }

    /// The lane of many producers, if it is one.
    #[inline]
    pub(super) fn shared(&self) -> Option<&SharedLane<T>> {
        if !self.lane.is_shared() {
            return None;
        }
        // SAFETY: the lane is the link of a shared lane, and the receiver's reference keeps that alive until it is
        // forgotten.
        Some(unsafe { SharedLane::of(self.lane.as_lane()).as_ref() })
    }

    #[inline]
    pub(super) fn is_shared(&self) -> bool {
        self.lane.is_shared()
    }

    /// What one producer's lane has borrowed ahead; nothing for a lane of many.
    #[inline]
    pub(super) fn held(&self) -> &Held {
        self.lane.held()
    }

    #[inline]
    pub(super) fn as_lane(&self) -> NonNull<Lane<T>> {
        self.lane.as_lane()
    }

    /// When it was put on the ready list.
    #[cfg(feature = "quanta")]
    pub(super) fn stamp(&self) -> &Stamp {
        self.lane.stamp()
    }

    /// The oldest message, if it can only be in a ring.
    #[inline(always)]
    pub(super) fn pop_from_ring(&mut self) -> Option<T> {
        if !self.lane.is_at_ring() {
            return None;
        }
        self.lane.pop_ring()
    }

    /// The oldest message.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        // Without a variable for the message: large ones would be copied in a debug build.
        if self.lane.is_at_ring() {
            self.lane.pop_ring()
        } else {
            self.pop_elsewhere()
        }
    }

    /// Whether it is a lane of one producer, which is there and has sent nothing more.
    #[inline(always)]
    pub(super) fn is_empty_ring(&self) -> bool {
        self.lane.is_at_ring() && !self.lane.has_more() && self.lane.ended().is_none()
    }

    // Not inlined, so that a receive from a ring is small enough to be inlined.
    #[inline(never)]
    fn pop_elsewhere(&mut self) -> Option<T> {
        match self.shared() {
            None => self.lane.pop(),
            // SAFETY: this is the receiver, which holds the lane.
            Some(shared) => unsafe { shared.pop() },
        }
    }

    /// Moves up to `limit` of the oldest messages to the end of `into`, and says how many.
    #[inline]
    pub(super) fn pop_into(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        match self.shared() {
            None => self.lane.pop_into(into, limit),
            Some(shared) => {
                let before = into.len();
                // SAFETY: this is the receiver, which holds the lane.
                into.extend(std::iter::from_fn(|| unsafe { shared.pop() }).take(limit));
                into.len() - before
            }
        }
    }

    /// Messages inside.
    pub(super) fn backlog(&self) -> usize {
        match self.shared() {
            None => self.lane.backlog(),
            Some(shared) => shared.len(),
        }
    }

    /// Whether a message can be taken.
    pub(super) fn has_message(&self) -> bool {
        match self.shared() {
            None => self.lane.backlog() > 0,
            // SAFETY: this is the receiver, which holds the lane.
            Some(shared) => unsafe { shared.has_message() },
        }
    }

    /// So many messages were taken.
    #[inline]
    pub(super) fn record_taken(&mut self, messages: usize) {
        self.lane.record_taken(messages);
    }

    /// Messages to receive until `enough` have been received since the last check, or since the one that is due.
    #[inline]
    pub(super) fn until_check(&self, enough: usize) -> usize {
        let Some(shared) = self.shared() else {
            return self.lane.until_check(enough);
        };
        let enough = enough.min(STEP);
        match enough.saturating_sub(shared.owed()) {
            0 => enough,
            more => more,
        }
    }

    /// Makes it known that there is room, if `enough` messages were taken since that was last done.
    ///
    /// A waker may panic, so the lane must be in its place before this call, as before `wake_waiting`.
    #[inline]
    pub(super) fn wake_if_room(&mut self, enough: usize) {
        let Some(shared) = self.shared() else {
            return self.lane.wake_if_room(enough);
        };
        if shared.owed() >= enough.min(STEP) && shared.release_taken() == Some(true) {
            self.served = true;
            self.serve();
        }
    }

    fn serve(&self) -> bool {
        let Some(shared) = self.shared() else {
            return false;
        };
        let waited = shared.has_waiters();
        if waited {
            shared.serve();
        }
        waited
    }

    /// Whether producers that waited were woken since the last time that this was asked.
    pub(super) fn take_woken(&mut self) -> bool {
        std::mem::take(&mut self.served) | self.lane.take_woken()
    }

    /// Wakes producers that wait for room, and says whether there were any.
    ///
    /// The caller has just given the lane up, or closed the channel, and then passed a fence.
    pub(super) fn wake_waiting(&self) -> bool {
        match self.shared() {
            None => self.lane.wake_waiting(),
            Some(_) => self.serve(),
        }
    }

    /// Tells the producer to send without a fence. `false` if it cannot be told now.
    pub(super) fn set_unfenced(&mut self) -> bool {
        self.lane.set_unfenced()
    }

    #[inline]
    pub(super) fn is_unfenced(&self) -> bool {
        self.lane.is_unfenced()
    }

    /// Tells the producer to pass its fences again.
    pub(super) fn set_fenced(&mut self) {
        self.lane.set_fenced();
    }

    /// What becomes of an empty unfenced lane if its producer has gone.
    #[inline]
    pub(super) fn ended(&self) -> Option<Emptied> {
        self.lane.ended()
    }

    /// Gives up an empty lane, so that whoever sends next lists it.
    ///
    /// # Safety
    ///
    /// As for [`LaneRx::retire`] and [`SharedLane::retire`].
    #[inline]
    pub(super) unsafe fn retire(&mut self) -> Emptied {
        match self.shared() {
            // SAFETY: as this function's contract says.
            None => unsafe { self.lane.retire() },
            // SAFETY: as above.
            Some(shared) => unsafe { shared.retire() },
        }
    }

    /// Ends an empty lane of one producer in a closed channel, or finds that something was accepted meanwhile.
    ///
    /// # Safety
    ///
    /// As for [`LaneRx::seal`].
    pub(super) unsafe fn seal(&mut self) -> Emptied {
        // SAFETY: as this function's contract says.
        unsafe { self.lane.seal() }
    }
}

impl<T> fmt::Debug for HeldLane<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lane.fmt(f)
    }
}
