//! The cooperative budget of an async receiver: how many messages it returns before it yields to
//! its executor.

use std::{
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use super::inbox::{Inbox, Sleep};
use crate::sync::{clock, stall::Stall};

/// Messages before a yield, however slow they are.
const MIN_MESSAGES: u32 = 128;
/// Messages before a yield at most, however quick they are.
const MAX_MESSAGES: u32 = 4096;
/// How long a receiver goes on after its first look at the clock, if its messages are quick.
const TIME_SLICE: Duration = Duration::from_micros(50);

/// What a receiver takes messages from: one class or two.
pub(crate) trait Source {
    type Message;

    /// Takes the next message, if there is one.
    fn try_next(&mut self) -> Option<Self::Message>;

    /// As `try_next`, for a poll.
    #[inline(always)]
    fn poll_next(&mut self) -> Option<Self::Message> {
        self.try_next()
    }

    /// Appends up to `limit` messages to `into`, and returns how many.
    fn try_next_many(&mut self, into: &mut Vec<Self::Message>, limit: usize) -> usize;
    /// Whether there is a message, without taking it.
    fn has_next(&mut self) -> bool;
    /// Whether nothing will come any more, after it has found nothing.
    fn is_finished(&mut self) -> bool;
    /// Puts the receiver to sleep, after it has found nothing.
    fn sleep(&mut self, waker: &Waker) -> Sleep;
    /// Ends a sleep, if there is one: the waker is dropped, and nothing wakes it any more.
    fn stop_sleeping(&mut self);
}

impl<T> Source for Inbox<T> {
    type Message = T;

    #[inline(always)]
    fn try_next(&mut self) -> Option<T> {
        self.try_next()
    }

    #[inline(always)]
    fn poll_next(&mut self) -> Option<T> {
        self.poll_next()
    }

    #[inline]
    fn try_next_many(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        self.try_next_many(into, limit)
    }

    fn has_next(&mut self) -> bool {
        self.has_next()
    }

    fn is_finished(&mut self) -> bool {
        self.is_finished()
    }

    #[inline]
    fn sleep(&mut self, waker: &Waker) -> Sleep {
        self.sleep(waker)
    }

    fn stop_sleeping(&mut self) {
        self.stop_sleeping();
    }
}

#[derive(Debug)]
pub(crate) struct CoopBudget {
    limit: Limit,
    /// Messages until the receiver yields or looks at the clock.
    left: u32,
    /// Polls in a row that found nothing and could not sleep.
    stall: Stall,
}

#[derive(Debug)]
enum Limit {
    /// A fixed number of messages.
    Messages(u32),
    /// [`MIN_MESSAGES`] messages, or up to [`MAX_MESSAGES`] if they are handled within
    /// [`TIME_SLICE`].
    Time { clock: Option<Clock> },
}

/// The speed of a receiver that has returned at least half of [`MIN_MESSAGES`] without a pause.
#[derive(Debug)]
struct Clock {
    since: Instant,
    given: u32,
}

impl Limit {
    fn new(messages: Option<usize>) -> Self {
        match messages {
            // No receiver returns as many without a pause as 32 bits can count.
            Some(count) => Self::Messages(u32::try_from(count).unwrap_or(u32::MAX)),
            None if clock::HAS_CLOCK => Self::Time { clock: None },
            None => Self::Messages(MIN_MESSAGES),
        }
    }

    /// The number of messages before the first look at the clock.
    fn first(&self) -> u32 {
        match self {
            Self::Messages(count) => *count,
            Self::Time { .. } => MIN_MESSAGES / 2,
        }
    }

    /// How many more messages may be returned; zero if it is time to yield.
    fn extend(&mut self) -> u32 {
        let Self::Time { clock } = self else { return 0 };
        let now = Instant::now();
        let Some(clock) = clock else {
            *clock = Some(Clock {
                since: now,
                given: MIN_MESSAGES / 2,
            });
            return MIN_MESSAGES / 2;
        };
        // Assume that the next batch takes as long as this one.
        let quick =
            2 * now.duration_since(clock.since) <= TIME_SLICE && 2 * clock.given <= MAX_MESSAGES;
        let more = if quick { clock.given } else { 0 };
        clock.given += more;
        more
    }
}

impl CoopBudget {
    /// A budget of `messages`, or by default one that depends on time.
    #[inline(always)]
    pub(crate) fn new(messages: Option<usize>) -> Self {
        let limit = Limit::new(messages);
        Self {
            left: limit.first(),
            limit,
            stall: Stall::new(),
        }
    }

    /// Restores the whole budget, because the task pauses.
    #[inline]
    pub(crate) fn reset(&mut self) {
        self.left = self.limit.first();
        if let Limit::Time { clock } = &mut self.limit {
            *clock = None;
        }
    }

    /// Whether the next pause of a stalled poll would be more than a spin.
    #[cfg(all(test, not(loom)))]
    pub(super) fn is_stalled(&self) -> bool {
        self.stall.is_long()
    }

    /// Begins the wait of a thread that has found nothing for a while.
    pub(crate) fn begin_wait(&mut self) {
        self.stall.reset();
    }

    /// Whether some budget is left; if not, wakes the task, so that it is polled again.
    #[cold]
    fn extend_or_yield(&mut self, cx: &mut Context<'_>) -> bool {
        self.left = self.limit.extend();
        if self.left > 0 {
            return true;
        }
        self.reset();
        cx.waker().wake_by_ref();
        false
    }

    /// Asks to be polled again soon.
    #[inline(never)]
    fn stay_awake(&mut self, cx: &mut Context<'_>, why: Sleep) {
        cx.waker().wake_by_ref();
        if why == Sleep::Stalled {
            if self.left != self.limit.first() {
                // Messages were received since the last pause.
                self.stall.reset();
            }
            self.stall.pause();
        } else {
            // A model must be told to let another thread run.
            #[cfg(loom)]
            crate::sync::yield_now();
        }
    }

    /// Polls `source` with `take`; `weigh` returns how many messages the result counts for. `None`
    /// if the source is closed and drained.
    #[inline]
    pub(crate) fn poll<S: Source, R>(
        &mut self,
        source: &mut S,
        cx: &mut Context<'_>,
        mut take: impl FnMut(&mut S) -> Option<R>,
        weigh: impl Fn(&R) -> usize,
    ) -> Poll<Option<R>> {
        if self.left == 0 && !self.extend_or_yield(cx) {
            return Poll::Pending;
        }
        loop {
            let found = take(source);
            if let Some(taken) = &found {
                let count = weigh(taken);
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                self.left = self.left.saturating_sub(count);
                return Poll::Ready(found);
            }
            match source.sleep(cx.waker()) {
                Sleep::Ready => {}
                Sleep::Closed => return Poll::Ready(None),
                Sleep::Asleep => {
                    self.stall.reset();
                    break;
                }
                awake => {
                    self.stay_awake(cx, awake);
                    break;
                }
            }
        }
        self.reset();
        Poll::Pending
    }

    /// Polls `source` with `take`, which appends messages to some vector and returns how many: zero
    /// if the source is closed and drained.
    #[inline]
    pub(crate) fn poll_many<S: Source>(
        &mut self,
        source: &mut S,
        cx: &mut Context<'_>,
        mut take: impl FnMut(&mut S) -> usize,
    ) -> Poll<usize> {
        let some = |source: &mut S| Some(take(source)).filter(|&count| count > 0);
        let taken = self.poll(source, cx, some, |&count| count);
        taken.map(Option::unwrap_or_default)
    }
}
