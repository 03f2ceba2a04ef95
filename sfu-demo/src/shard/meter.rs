//! What a shard counts and measures.

use std::time::Instant;

use crate::stats::{Counters, Latency};

#[derive(Default)]
pub(super) struct Meter {
    pub(super) counters: Counters,
    pub(super) latency: Latency,
    /// Arrival times of the packets that were forwarded since the last flush.
    in_flight: Vec<Instant>,
}

impl Meter {
    /// Counts a packet that was queued for a subscriber.
    pub(super) fn forwarded(&mut self, arrived: Instant) {
        self.counters.media_out += 1;
        self.in_flight.push(arrived);
    }

    /// Records the latency of the queued packets, which the kernel has now. Calls `now` only if there are any.
    pub(super) fn flushed(&mut self, now: impl Fn() -> Instant) {
        if self.in_flight.is_empty() {
            return;
        }
        let now = now();
        for arrived in self.in_flight.drain(..) {
            self.latency.record(arrived, now);
        }
    }
}
