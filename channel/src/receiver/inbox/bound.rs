//! What the receiver does for a bound on all lanes: gives back the slots of messages that it has
//! taken, and reclaims those that a lane has borrowed ahead.

use super::{Inbox, held::HeldLane};

impl<T> Inbox<T> {
    /// Messages of the current lane after which the books are done, at most.
    #[inline]
    pub(super) fn checkpoint_interval(&self) -> usize {
        match &self.fan_in.bound {
            None => self.fan_in.config.half(),
            Some(bound) => bound.chunk(),
        }
    }

    /// The current lane has given `given` messages. While senders wait for slots, it holds none.
    #[cold]
    #[inline(never)]
    pub(super) fn give_back_of_lane(&mut self, given: usize) {
        let Some(bound) = &self.fan_in.bound else {
            return;
        };
        self.quota.checkpoint_after(bound.chunk());
        let held = match &self.current {
            Some(lane) if bound.has_waiters() => lane.held().reclaim(),
            _ => 0,
        };
        self.give_back(given + held);
        // A lane of many producers has waits of its own.
        let half = self.fan_in.config.half();
        if let Some(lane) = &mut self.current
            && lane.is_shared()
        {
            lane.wake_if_room(half);
        }
    }

    /// A message was taken from a shared slot. A mailbox does not look again at a class that has
    /// nothing more.
    #[cold]
    #[inline(never)]
    pub(super) fn give_back_of_shared_slot(&mut self) {
        self.give_back(1);
        if !self.slots.has_claimed() {
            self.give_back_owed();
        }
    }

    /// Gives back slots of messages that were taken: together with others while none waits for
    /// them, and half of all at a time while senders do, so that not every message costs the switch
    /// of a task.
    #[inline]
    pub(super) fn give_back(&mut self, slots: usize) {
        let Some(bound) = &self.fan_in.bound else {
            return;
        };
        self.owed += slots;
        if self.owed >= bound.chunk() && (self.owed >= bound.half() || !bound.has_waiters()) {
            self.give_back_owed();
        }
    }

    /// Gives back all slots of messages that were taken. The receiver has found nothing more to
    /// take.
    #[inline]
    pub(super) fn give_back_owed(&mut self) {
        if self.owed > 0 {
            self.give_back_some_owed();
        }
    }

    #[cold]
    #[inline(never)]
    fn give_back_some_owed(&mut self) {
        let owed = std::mem::take(&mut self.owed);
        if let Some(bound) = &self.fan_in.bound {
            self.has_woken |= bound.give(owed);
        }
    }

    /// Reclaims what a lane holds that has no messages. What its producer adds from here on is
    /// followed by a message, so the receiver comes back.
    #[inline]
    pub(super) fn reclaim(&mut self, lane: &HeldLane<T>) {
        self.give_back_held(lane.held().reclaim());
    }

    /// Reclaims what the lane holds that the receiver lingers over.
    pub(super) fn reclaim_of_current(&mut self) {
        let held = self
            .current
            .as_ref()
            .map_or(0, |lane| lane.held().reclaim());
        self.give_back_held(held);
    }

    /// Gives back what a lane held.
    #[inline]
    pub(super) fn give_back_held(&mut self, held: usize) {
        if held > 0
            && let Some(bound) = &self.fan_in.bound
        {
            self.has_woken |= bound.give(held);
        }
    }

    /// Reclaims what a lane holds that has messages, if senders wait.
    #[inline]
    pub(super) fn reclaim_if_awaited(&mut self, lane: &HeldLane<T>) {
        if let Some(bound) = &self.fan_in.bound
            && bound.has_waiters()
        {
            self.has_woken |= bound.give(lane.held().reclaim());
        }
    }
}
