//! The two classes of a mailbox as its receiver takes from them: high first.

use std::{num::NonZero, task::Waker};

use super::{HIGH_LOOK_INTERVAL, Message};
use crate::{
    receiver::{
        budget::Source,
        inbox::{Inbox, Sleep},
    },
    sync::wake_all::WakeAll,
};

pub(crate) struct Classes<High, Low> {
    pub(super) high: Inbox<High>,
    pub(super) low: Inbox<Low>,
    pub(super) share: LowShare,
}

/// Whose turn it is when both classes have messages.
#[derive(Debug)]
pub(super) struct LowShare {
    /// High-priority messages before one of low priority.
    between: i64,
    /// Those until that is due.
    left: i64,
}

impl LowShare {
    /// Of `one_in` messages one is of low priority; `None` for never.
    #[inline]
    pub(super) fn new(one_in: Option<NonZero<u32>>) -> Self {
        // A receiver does not live to see so many messages.
        let between = one_in.map_or(i64::MAX, |one_in| i64::from(one_in.get()) - 1);
        Self {
            between,
            left: between,
        }
    }

    /// Counts a high-priority message that is about to be taken. `true` if one of low priority comes first.
    #[inline(always)]
    fn is_due(&mut self) -> bool {
        self.left -= 1;
        self.left < 0
    }
}

impl<High, Low> Classes<High, Low> {
    /// Takes a low-priority message, if there is one, although there may be high-priority ones.
    #[cold]
    #[inline(never)]
    fn take_low_in_turn(&mut self) -> Option<Low> {
        self.share.left = self.share.between;
        // As in `try_next`, but what is not found now has to wait for its next turn.
        let mut moves = HIGH_LOOK_INTERVAL;
        self.low.try_next_within(&mut moves)
    }
}

impl<High, Low> Source for Classes<High, Low> {
    type Message = Message<High, Low>;

    #[inline]
    fn try_next(&mut self) -> Option<Message<High, Low>> {
        loop {
            if self.high.may_have_next() {
                if self.share.is_due()
                    && let Some(message) = self.take_low_in_turn()
                {
                    return Some(Message::Low(message));
                }
                if let Some(message) = self.high.try_next() {
                    return Some(Message::High(message));
                }
            }
            // Many senders may have been dropped at once: do not release all of their lanes in one
            // go.
            let mut moves = HIGH_LOOK_INTERVAL;
            if let Some(message) = self.low.try_next_within(&mut moves) {
                return Some(Message::Low(message));
            }
            if moves > 0 {
                return None;
            }
        }
    }

    fn try_next_many(&mut self, into: &mut Vec<Message<High, Low>>, limit: usize) -> usize {
        let mut count = 0;
        'all: while count < limit {
            while self.high.may_have_next() && count < limit {
                if self.share.is_due()
                    && let Some(message) = self.take_low_in_turn()
                {
                    into.push(Message::Low(message));
                    count += 1;
                    continue;
                }
                let Some(message) = self.high.try_next() else {
                    break;
                };
                into.push(Message::High(message));
                count += 1;
            }
            for _ in 0..HIGH_LOOK_INTERVAL.min(limit - count) {
                let mut moves = HIGH_LOOK_INTERVAL;
                let Some(message) = self.low.try_next_within(&mut moves) else {
                    if moves > 0 {
                        break 'all;
                    }
                    break;
                };
                into.push(Message::Low(message));
                count += 1;
            }
        }
        count
    }

    fn has_next(&mut self) -> bool {
        self.high.has_next() || self.low.has_next()
    }

    fn is_finished(&mut self) -> bool {
        // Both are asked: each gives back what its lanes hold.
        self.high.is_finished() & self.low.is_finished()
    }

    fn stop_sleeping(&mut self) {
        let mut all = WakeAll::default();
        all.run(|| self.high.stop_sleeping());
        all.run(|| self.low.stop_sleeping());
        all.done();
    }

    #[inline]
    fn sleep(&mut self, waker: &Waker) -> Sleep {
        let high = self.high.sleep(waker);
        if matches!(high, Sleep::Ready | Sleep::Busy | Sleep::Stalled) {
            return high;
        }
        match (high, self.low.sleep(waker)) {
            (_, low @ (Sleep::Ready | Sleep::Busy | Sleep::Stalled)) => low,
            (Sleep::Closed, Sleep::Closed) => Sleep::Closed,
            _ => Sleep::Asleep,
        }
    }
}
