//! The two classes of a mailbox as its receiver takes from them: high first.

use std::task::Waker;

use super::{HIGH_LOOK_INTERVAL, Message};
use crate::receiver::{
    budget::Source,
    inbox::{Inbox, Sleep},
};

pub(super) struct Classes<High, Low> {
    pub(super) high: Inbox<High>,
    pub(super) low: Inbox<Low>,
}

impl<High, Low> Classes<High, Low> {
    #[inline]
    pub(super) fn try_next(&mut self) -> Option<Message<High, Low>> {
        loop {
            if self.high.may_have_next()
                && let Some(message) = self.high.try_next()
            {
                return Some(Message::High(message));
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

    pub(super) fn try_next_many(
        &mut self,
        into: &mut Vec<Message<High, Low>>,
        limit: usize,
    ) -> usize {
        let mut count = 0;
        'all: while count < limit {
            while self.high.may_have_next()
                && count < limit
                && let Some(message) = self.high.try_next()
            {
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

    /// Whether there is a message; it is left where it is.
    pub(super) fn has_next(&mut self) -> bool {
        self.high.has_next() || self.low.has_next()
    }
}

impl<High, Low> Source for Classes<High, Low> {
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

    #[inline]
    fn lingers(&self) -> bool {
        self.low.lingers()
    }

    #[inline]
    fn has_lingered_for(&self) -> bool {
        self.low.has_lingered_for()
    }
}
