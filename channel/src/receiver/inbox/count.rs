//! What the receiver can say of its lanes: how many messages wait in them, and what it has counted.

use super::{Inbox, at_close::AtClose, held::HeldLane};
use crate::{fan_in::lane::list::Chain, stats::Stats, sync::lock};

impl<T> Inbox<T> {
    /// Messages in all lanes; a snapshot.
    pub(crate) fn len(&self) -> usize {
        if !self.may_have_next() {
            return 0;
        }
        let _guard = lock(&self.count);
        let mut count = self.fan_in.shared_slots.count();
        // Once closed, lanes of many producers are counted below, and only there.
        let backlog = |lane: &HeldLane<T>| {
            if lane.is_shared() && self.closed {
                0
            } else {
                lane.backlog()
            }
        };
        count += self.current.as_ref().map_or(0, backlog);
        let listed = if self.closed {
            Chain::empty()
        } else {
            // SAFETY: this is the receiver, which only looks.
            unsafe { self.fan_in.ready.view() }
        };
        let at_close = self.at_close.as_deref();
        for mut chain in [
            self.chain.view(),
            self.next_round.view(),
            at_close.map_or_else(Chain::empty, AtClose::listed),
            listed,
        ] {
            while let Some(lane) = chain.next() {
                // SAFETY: as above.
                count += backlog(&unsafe { HeldLane::new(lane) });
            }
        }
        if let Some(at_close) = at_close {
            at_close.shared().find(|lane| {
                count += lane.len();
                false
            });
        }
        count
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            senders: self.fan_in.senders(),
            lanes_open: self.fan_in.lanes(),
            brief_lanes: self.fan_in.brief_lanes(),
            depth: self.len(),
            high_water: self.counted.high_water,
            messages: self.counted.messages + self.quota.since_checkpoint() as u64,
            wakeups: self.counted.wakeups,
            dropped: self.fan_in.dropped(),
            dropped_oldest: self.counted.dropped_oldest,
            #[cfg(feature = "quanta")]
            delay: self.counted.delay,
        }
    }
}
