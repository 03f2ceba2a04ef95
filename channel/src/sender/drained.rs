//! What a mesh needs of the lanes of its senders: whether all that was sent has been received, and a way to hand on what
//! was sent to a receiver that is gone.

use std::task::{Context, Poll};

use super::{Path, Sender};
use crate::config::Config;

impl<T> Sender<T> {
    /// The number of messages that the receiver has not taken.
    pub(crate) fn backlog(&mut self) -> usize {
        let slots = &self.fan_in.shared_slots;
        let Some(lane) = &mut self.lane else {
            return self.staged_len();
        };
        let in_slots = self.history.count(slots, lane.id());
        // Otherwise the lane is empty, and is not looked at.
        if self.path == Path::Slots {
            return in_slots;
        }
        in_slots + lane.used() + self.staged_len()
    }

    /// Ready when the receiver has taken all that was sent, or has closed the channel.
    ///
    /// Woken as one who waits for room: when half of the capacity has been received, and when all has.
    pub(crate) fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_drained = |sender: &mut Self| sender.backlog() == 0;
        if self.is_closed() || is_drained(self) {
            self.stop_waiting();
            return Poll::Ready(());
        }
        self.poll_wait(cx, is_drained).map(drop)
    }

    /// Sends all of `messages` through a lane that nothing has been sent through, whatever its capacity. They are
    /// removed, except those that the receiver did not accept because it has closed the channel.
    pub(crate) fn send_over_capacity(&mut self, messages: &mut Vec<T>) {
        let count = messages.len();
        if count == 0 || self.is_closed() {
            return;
        }
        if self.lane_or_open().is_none() {
            return;
        }
        self.path = Path::Lane;
        self.credit = 0;
        let config = Config {
            first_ring: count,
            lane_capacity: self.capacity().max(count),
            ..self.fan_in.config
        };
        if let Some(lane) = &mut self.lane {
            lane.send_ring_vec(&self.fan_in.ready, &config, messages, count);
        }
    }
}
