//! Going to sleep: when the receiver may, and when nothing will come any more.
//!
//! The receiver sleeps only after it has given up every lane, read every claimed slot and returned
//! every slot of the total bound that it owes.

use std::{mem, task::Waker};

use super::Inbox;
use crate::fan_in::ready::Arm;

/// The result of an attempt to sleep.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sleep {
    /// The next message wakes the waker.
    Asleep,
    /// There may be a message: look again.
    Ready,
    /// Messages are expected: stay awake and look again soon.
    Busy,
    /// A producer is within the few instructions in which it fills a slot or wakes this receiver:
    /// look again soon, and give it the processor if it takes long.
    Stalled,
    /// Closed and drained: nothing will come.
    Closed,
}

impl<T> Inbox<T> {
    /// Puts the receiver to sleep, after `try_next` has found nothing.
    #[inline]
    pub(crate) fn sleep(&mut self, waker: &Waker) -> Sleep {
        if self.owes() {
            self.serve_before_sleep();
        }
        if self.fences.is_active() {
            if self.fences.stays_awake(self.counted.messages) {
                return Sleep::Busy;
            }
            self.fence_all();
            return Sleep::Ready;
        }
        if mem::take(&mut self.has_woken) && !cfg!(loom) {
            // The woken producers are about to send. Those on this executor all do so before the
            // receiver is polled again, and none of them has to wake it; asleep, it would run
            // between any two of them.
            return Sleep::Busy;
        }
        if self.give_up_current() {
            return Sleep::Ready;
        }
        self.give_back_owed();
        if self.has_unwritten() {
            return Sleep::Stalled;
        }
        if self.closed || self.hung_up {
            return Sleep::Closed;
        }
        if self.fan_in.ready.is_hung_up() {
            // Look once more: what was sent before the hang-up must be visible now.
            self.hung_up = true;
            return Sleep::Ready;
        }
        if self.slots.is_shut() {
            // All slots are empty: open a set again.
            self.take_list();
            return Sleep::Ready;
        }
        let ready = &self.fan_in.ready;
        // SAFETY: this is the receiver; all lanes are given up, all slots are empty, and a set is open.
        match unsafe { ready.arm(&self.slots, &mut self.armed_for, waker) } {
            Arm::Armed => {
                self.asleep = true;
                self.fences.slept(self.counted.messages);
                Sleep::Asleep
            }
            Arm::Ready => Sleep::Ready,
            Arm::Busy => Sleep::Stalled,
        }
    }

    /// Ends a sleep, if there is one: the waker is dropped, and is not woken any more.
    #[inline]
    pub(crate) fn stop_sleeping(&mut self) {
        if self.served {
            // Nothing has come since, and nobody may look again.
            self.give_back_owed();
        }
        if self.asleep {
            self.stop_sleeping_now();
        }
    }

    #[cold]
    #[inline(never)]
    fn stop_sleeping_now(&mut self) {
        // SAFETY: this is the receiver, and the list is not closed.
        if !self.closed && unsafe { self.fan_in.ready.stop_sleeping(&self.slots) } {
            self.asleep = false;
        }
    }

    /// Gives up the lane that the receiver lingers over. `true` if a message came meanwhile, and
    /// the lane is the current one again.
    #[inline]
    pub(super) fn give_up_current(&mut self) -> bool {
        if self.current.is_none() {
            return false;
        }
        self.checkpoint();
        let Some(mut lane) = self.current.take() else {
            return false;
        };
        if self.closed && lane.is_shared() {
            // It is visited by `visit_shared_at_close`.
            return false;
        }
        // SAFETY: `keep_or_release` does what the contract asks for. A closed channel does not
        // linger, so this one is open.
        let emptied = unsafe { lane.retire() };
        self.keep_or_release(lane, emptied)
    }

    /// Whether the channel is closed and drained, after `try_next` has found nothing.
    pub(crate) fn is_finished(&mut self) -> bool {
        self.reclaim_of_current();
        if !self.closed && !self.hung_up {
            if !self.fan_in.ready.is_hung_up() {
                return false;
            }
            // Look once more: what was sent before the hang-up must be visible now.
            self.hung_up = true;
            if self.has_next() {
                return false;
            }
        }
        // A lane that the receiver lingers over, and whose producer is gone, ends here.
        if self.give_up_current() {
            return false;
        }
        !self.has_unwritten()
    }
}
