//! The lanes that the receiver polls: when it begins, what it does when one is empty, and how it ceases.

use super::{Found, Inbox, polling::WORTH_POLLING};
use crate::fan_in::lane::LaneRx;

impl<T> Inbox<T> {
    /// Goes on from a polled lane that is empty.
    pub(super) fn come_back_to(&mut self, lane: LaneRx<T>, gave: bool) -> Found {
        if let Some(dry) = lane.ended() {
            if self.settle(lane, dry) {
                return Found::Something;
            }
            return self.next_lane();
        }
        if !self.has_other_work() {
            return self.linger(lane);
        }
        let messages = self.counted.messages;
        self.polling.visited(gave, messages);
        self.put_off(lane);
        if self.polling.is_vain(messages) {
            self.cease_polling();
        } else if self.polling.has_visited_all()
            && self.again.len() == self.polling.lanes()
            && self.chain.is_empty()
            && !self.slots.is_due()
            && !self.fan_in.bell.ready.has_news(&self.slots)
        {
            self.polling.found_nothing();
            return Found::Nothing;
        }
        self.next_lane()
    }

    /// Begins to poll a lane, if what it gave in its turn shows that it is worth it.
    #[inline]
    pub(super) fn poll_if_worth(&mut self, lane: &mut LaneRx<T>, gave: usize) {
        if gave >= WORTH_POLLING.min(self.fan_in.config.burst)
            && !self.closed
            && self.polling.may_begin(self.counted.messages)
            && lane.poll()
        {
            self.polling.add(self.counted.messages);
        }
    }

    /// Makes all lanes such that their producers pass a fence again.
    #[cold]
    pub(super) fn cease_polling(&mut self) {
        if let Some(lane) = &mut self.current {
            lane.cease_polling();
        }
        for mut chain in [self.chain.again(), self.again.peek()] {
            while let Some(lane) = chain.next() {
                // SAFETY: all of them are the receiver's, and no other view of them is in use.
                unsafe { LaneRx::new(lane) }.cease_polling();
            }
        }
        self.polling.end(self.counted.messages);
    }
}
