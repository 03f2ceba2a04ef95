//! What the receiver does for a bound on all lanes: gives back the slots of messages that it has
//! taken, and reclaims those that a lane has borrowed ahead.

use std::mem;

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
        let (held, batch) = if bound.has_waiters() {
            let held = self
                .current
                .as_ref()
                .map_or(0, |lane| lane.held().reclaim());
            (held, bound.batch())
        } else {
            (0, bound.chunk())
        };
        self.quota.checkpoint_after(batch);
        self.give_back(given + held);
        // A lane of many producers has waits of its own.
        let half = self.fan_in.config.half();
        if let Some(lane) = &mut self.current
            && lane.is_shared()
        {
            lane.wake_if_room(half);
        }
    }

    /// A message was taken from a shared slot. A mailbox does not look again at a class that has nothing
    /// more, so the class settles at once.
    #[cold]
    #[inline(never)]
    pub(super) fn give_back_of_shared_slot(&mut self, settles: bool) {
        self.give_back(1);
        if settles && !self.slots.has_claimed() {
            self.give_back_owed();
        }
    }

    /// Gives back slots of messages that were taken, several together where there are many. Senders that
    /// are awake can have them at once. Of those that wait, the first get some when half of all slots were
    /// given back, so that not every message costs the switch of a task.
    #[inline]
    pub(super) fn give_back(&mut self, slots: usize) {
        let Some(bound) = &self.fan_in.bound else {
            return;
        };
        self.owed += slots as u32;
        self.served = false;
        let owed = self.owed as usize;
        if owed < bound.chunk() || (owed < bound.batch() && bound.has_waiters()) {
            return;
        }
        self.owed = 0;
        if bound.add(owed) {
            self.unserved += owed as u32;
            if self.unserved as usize >= bound.half() {
                self.has_woken |= bound.serve_some();
                self.unserved = bound.is_unserved().into();
            }
        }
    }

    /// Gives back all slots of messages that were taken, and hands free slots to all who wait. The receiver
    /// has found nothing more to take, and may not look again.
    #[inline]
    pub(crate) fn give_back_owed(&mut self) {
        if self.owes() {
            self.serve_all();
        }
    }

    /// Whether there are slots to give back, or waiting senders to serve.
    #[inline]
    pub(super) fn owes(&self) -> bool {
        self.owed | self.unserved > 0
    }

    /// Gives back all slots of messages that were taken. The receiver has found nothing more to take, and is
    /// about to sleep. At first only some of those who wait get slots, and the rest is left to those who run
    /// then: the receiver is polled again if it has woken somebody. If nothing has come by then, all who wait
    /// get slots.
    #[cold]
    #[inline(never)]
    pub(super) fn serve_before_sleep(&mut self) {
        let owed = mem::take(&mut self.owed);
        let Some(bound) = &self.fan_in.bound else {
            return;
        };
        bound.add(owed as usize);
        if !mem::replace(&mut self.served, true) && bound.serve_some() {
            self.unserved = bound.is_unserved().into();
            self.has_woken = true;
        } else {
            self.serve_all();
        }
    }

    #[cold]
    #[inline(never)]
    fn serve_all(&mut self) {
        self.unserved = 0;
        let owed = mem::take(&mut self.owed);
        if let Some(bound) = &self.fan_in.bound {
            bound.add(owed as usize);
            self.has_woken |= bound.serve();
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
