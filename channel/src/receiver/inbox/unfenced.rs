//! Unfenced lanes: when a lane becomes one, what happens when it is empty, and how all are fenced
//! again.

use super::{Found, Inbox, fence_policy::WORTH_UNFENCING, held::HeldLane};

impl<T> Inbox<T> {
    /// Moves on from an unfenced lane that is empty.
    pub(super) fn revisit(&mut self, lane: HeldLane<T>, gave: bool) -> Found {
        if let Some(emptied) = lane.ended() {
            if self.keep_or_release(lane, emptied) {
                return Found::Something;
            }
            return self.next_lane();
        }
        let held = lane.held().reclaim();
        if !self.has_other_work() {
            let found = self.linger(lane);
            self.give_back_held(held);
            return found;
        }
        let messages = self.counted.messages;
        self.fences.record_visit(gave, messages);
        self.requeue(lane);
        self.give_back_held(held);
        if self.fences.is_unprofitable() {
            self.fence_all();
        } else if self.fences.has_visited_all()
            && self.next_round.len() == self.fences.lanes()
            && self.chain.is_empty()
            && !self.slots.has_claimed()
            && !self.fan_in.ready.has_something(&self.slots)
        {
            self.fences.forgive(messages);
            return Found::Nothing;
        }
        self.next_lane()
    }

    /// Lets the producer of a lane send without a fence, if what the lane gave of its quota shows
    /// that this pays.
    #[inline]
    pub(super) fn unfence_if_worth(&mut self, lane: &mut HeldLane<T>, gave: usize) {
        if self.is_worth_unfencing(gave) && !self.closed && lane.set_unfenced() {
            self.fences.add_lane();
        }
    }

    /// Whether it pays to let the producer of a lane that gave so much of its quota send without a fence.
    #[inline]
    pub(super) fn is_worth_unfencing(&self, gave: usize) -> bool {
        gave >= WORTH_UNFENCING.min(self.fan_in.config.burst) && self.may_unfence()
    }

    #[inline]
    fn may_unfence(&self) -> bool {
        (self.fences).may_unfence(self.counted.messages, self.fan_in.config.unfenced_after)
    }

    /// Whether no producer waits for room that this receiver has made. It needs no fence, so it cannot always tell.
    ///
    /// A receiver that often finds nothing, and does not sleep, makes the first producer that will wait pass a heavy
    /// fence.
    #[inline]
    pub(super) fn nobody_waits(&mut self) -> bool {
        if !self.relies {
            if !self.may_unfence() || !self.fan_in.ready.rely() {
                return false;
            }
            self.relies = true;
        }
        self.fan_in.ready.nobody_waits()
    }

    /// Makes the producers of all lanes pass a fence again.
    #[cold]
    pub(super) fn fence_all(&mut self) {
        if let Some(lane) = &mut self.current {
            lane.set_fenced();
        }
        for mut chain in [self.chain.view(), self.next_round.view()] {
            while let Some(lane) = chain.next() {
                // SAFETY: all of these lanes are the receiver's, and no other `HeldLane` is in use
                // for them.
                unsafe { HeldLane::new(lane) }.set_fenced();
            }
        }
        let min_run = self.fan_in.config.unfenced_after;
        self.fences.fence_all(self.counted.messages, min_run);
    }
}
