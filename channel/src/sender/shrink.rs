//! Giving back the memory of a lane that a burst has left behind.
//!
//! The rings of a burst are freed as the receiver empties them, but for the last one, which stays for the next messages.
//! That one goes with its lane: all that was sent through the lane has been received, so the sender ends it as if it
//! were dropped itself, and opens another when it needs one.

use super::{Path, Sender};
use crate::sync::wake_all::WakeAll;

/// A lane that has a ring is ended when so many messages in a row, or twice as many, did without.
const QUIET: usize = if cfg!(loom) { 1 } else { 64 };

impl<T> Sender<T> {
    /// Frees the memory that this sender's lane holds, if the receiver has taken all that this sender sent; else does
    /// nothing. The next send opens a lane again.
    ///
    /// A lane that has once held more than a few messages keeps one ring, of at most 64 KiB (or
    /// [`first_ring`](crate::Builder::first_ring), if that is more). A sender that goes on with a message now and then
    /// gives it back by itself, after at most 128 messages of which none met another in the lane (not with a
    /// [total capacity](crate::Builder::total_capacity)). This function is for a sender that is kept and sends nothing.
    ///
    /// The receiver frees the memory when it next comes to the lane, for which it is woken if it sleeps, and goes on to
    /// another one or to sleep.
    ///
    /// # Examples
    ///
    /// ```
    /// let (mut tx, mut rx) = lanemesh::channel(1000);
    /// tx.try_send_many(0..1000).unwrap();
    /// assert_eq!(rx.try_iter().count(), 1000);
    /// tx.shrink_to_fit();
    /// tx.try_send(1).unwrap();
    /// assert_eq!(rx.try_recv(), Ok(1));
    /// assert_eq!(rx.stats().lanes_open, 1);
    /// ```
    pub fn shrink_to_fit(&mut self) {
        if !self.is_empty() || self.path == Path::Waiting {
            return;
        }
        if let Some(aside) = &self.aside
            && aside.wait.is_none()
        {
            self.aside = None;
        }
        // Room that is reserved stays reserved: a lane that has none has all of it.
        self.end_lane();
    }

    /// Ends a lane whose ring has not been used for a while, if nothing of this sender's is in shared slots either, and says
    /// after how many messages to ask again.
    ///
    /// To be called when the known room has been used up without the lane.
    pub(super) fn shrink_if_quiet(&mut self, in_slots: usize) -> usize {
        let messages = self.capacity().min(QUIET);
        if let Some(lane) = &mut self.lane
            && in_slots == 0
            && lane.is_quiet(messages as u32, QUIET as u32)
        {
            self.end_lane();
        }
        QUIET
    }

    /// Ends the lane, from which all was received.
    fn end_lane(&mut self) {
        let Some(lane) = self.lane.take() else {
            return;
        };
        self.path = Path::Slots;
        let mut all = WakeAll::default();
        let held = lane.held().reclaim();
        if held > 0
            && let Some(bound) = &self.fan_in.bound
        {
            all.run(|| bound.give(held));
        }
        if let Some(lane) = lane.close(&self.fan_in.ready, &mut all) {
            self.fan_in.recycle(lane);
        }
        all.done();
    }
}
