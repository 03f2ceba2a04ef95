//! When an actor has nothing to do, and when it has much: publishing its counters, waking those who
//! wait for it.

use crate::{
    actor::{Actor, Context},
    cell::signal,
};

impl<A: Actor> Context<A> {
    /// The last of those who wait until the actor is idle.
    #[inline]
    pub(crate) fn ticket(&self, signals: u32) -> u64 {
        if signals & signal::IDLE == 0 {
            0
        } else {
            self.cell.idle_ticket()
        }
    }

    /// At the first message after an idle time, publishes how many more wait, if any do. The loop
    /// that passes messages on at once does so when it takes messages ahead.
    pub(super) fn note_backlog(&mut self) {
        if self.state.since_publish == 0 && self.depth() > 0 {
            self.publish();
        }
    }

    /// There is nothing to do: publishes the counters and wakes those who wait for it.
    pub(crate) fn on_idle(&mut self, signals: u32, ticket: u64) {
        let queued = if signals & signal::IDLE == 0 {
            0
        } else {
            // With stashed messages alone the actor is idle.
            self.depth() - self.stashed()
        };
        self.on_waiting(signals, ticket, queued);
    }

    /// As [`on_idle`](Self::on_idle), if `queued` messages keep the actor from being idle.
    pub(crate) fn on_waiting(&mut self, signals: u32, ticket: u64, queued: usize) {
        self.state.was_idle = true;
        if self.state.since_publish != 0 {
            self.state.since_publish = 0;
            // The mailbox is empty, or its budget is used up; then the next poll corrects this.
            self.publish_depth(self.outside());
        }
        if signals & signal::ROOM != 0 {
            self.cell.wake_room_waiters();
        }
        // The receiver is also pending when its budget is used up.
        if signals & signal::IDLE != 0 && queued == 0 {
            self.cell.wake_idle_waiters(ticket);
        }
    }

    /// Counts a message; publishes the counters if they are due.
    #[inline(always)]
    pub(crate) fn count_message(&mut self) {
        if self.state.count_message() {
            self.publish();
        }
    }
}
