//! Lanes of which the receiver takes the newest messages alone, and drops those before.
//!
//! Such a lane has no quota, so each time that the receiver would take a message from it, it comes here first: it drops
//! what is too old, and then takes one.

use super::{Found, Inbox, held::HeldLane};

impl<T> Inbox<T> {
    /// Goes on with the newest messages of a lane, after it has given `gave`.
    #[cold]
    #[inline(never)]
    pub(super) fn move_on_to_newest(&mut self, lane: HeldLane<T>, gave: usize) -> Found {
        if gave > 0 && self.has_other_work() {
            self.requeue(lane);
            return self.next_lane();
        }
        // A message's drop and a waker may panic: before that the lane is in its place, and has no quota.
        self.start_lane(lane);
        self.drop_oldest();
        let has_message = self.current.as_ref().is_some_and(HeldLane::has_message);
        if has_message {
            self.quota.start(1);
            self.quota.checkpoint_after(1);
            return Found::Something;
        }
        match self.current.take() {
            Some(lane) => self.leave(lane, gave),
            None => self.next_lane(),
        }
    }

    /// Drops all messages of the current lane but the newest half of its capacity.
    fn drop_oldest(&mut self) {
        let newest = self.fan_in.config.half();
        let Some(lane) = &mut self.current else {
            return;
        };
        // Those that come meanwhile do not count: a producer that is faster would keep this from ending.
        for _ in newest..lane.backlog() {
            let Some(message) = lane.pop() else {
                // It is claimed, and not published yet.
                break;
            };
            lane.record_taken(1);
            self.counted.dropped_oldest += 1;
            drop(message);
        }
        lane.wake_if_room(newest);
    }
}
