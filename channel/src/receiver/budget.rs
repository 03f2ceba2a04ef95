//! The cooperative budget of an async receiver: how much it gives before it lets its executor run others, and when it goes to
//! sleep.

use std::{
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use super::{
    inbox::{Inbox, Sleep},
    standoff::Standoff,
};
use crate::sync::clock;

/// Messages without a pause, if they are slow.
const MIN_MESSAGES: usize = 128;
/// Messages without a pause at most, if they are quick.
const MAX_MESSAGES: usize = 4096;
/// How long a receiver of quick messages goes on without a pause, once it has begun to look at the clock.
const TIME_SLICE: Duration = Duration::from_micros(50);

/// What a receiver takes messages from, of one class or of two.
pub(crate) trait Source {
    /// Lays the receiver to sleep, after it has found nothing.
    fn sleep(&mut self, waker: &Waker) -> Sleep;
    /// Whether the receiver lingers over an empty lane, after it has found nothing.
    fn lingers(&self) -> bool;
    /// Whether something has come to that lane.
    fn has_lingered_for(&self) -> bool;
}

impl<T> Source for Inbox<T> {
    #[inline]
    fn sleep(&mut self, waker: &Waker) -> Sleep {
        self.sleep(waker)
    }

    #[inline]
    fn lingers(&self) -> bool {
        self.lingers()
    }

    #[inline]
    fn has_lingered_for(&self) -> bool {
        self.has_lingered_for()
    }
}

#[derive(Debug)]
pub(crate) struct CoopBudget {
    limit: Limit,
    /// Messages until the receiver pauses, or looks at the clock.
    left: usize,
    pub(crate) standoff: Standoff,
}

#[derive(Debug)]
enum Limit {
    /// As many messages as that.
    Messages(usize),
    /// [`MIN_MESSAGES`] messages, or as many up to [`MAX_MESSAGES`] as are handled within [`TIME_SLICE`].
    Time { clock: Option<Clock> },
}

/// What a receiver that has not paused for half of [`MIN_MESSAGES`] knows of its speed.
#[derive(Debug)]
struct Clock {
    since: Instant,
    given: usize,
}

impl Limit {
    fn new(messages: Option<usize>) -> Self {
        match messages {
            Some(count) => Self::Messages(count),
            None if clock::HAS_CLOCK => Self::Time { clock: None },
            None => Self::Messages(MIN_MESSAGES),
        }
    }

    /// What may be given before the next look.
    fn first(&self) -> usize {
        match self {
            Self::Messages(count) => *count,
            Self::Time { .. } => MIN_MESSAGES / 2,
        }
    }

    /// What may be given on top of all that was; zero when it is time to pause.
    fn extend(&mut self) -> usize {
        let Self::Time { clock } = self else { return 0 };
        let now = Instant::now();
        let Some(clock) = clock else {
            *clock = Some(Clock {
                since: now,
                given: MIN_MESSAGES / 2,
            });
            return MIN_MESSAGES / 2;
        };
        // As many again will take as long again.
        let quick =
            2 * now.duration_since(clock.since) <= TIME_SLICE && 2 * clock.given <= MAX_MESSAGES;
        let more = if quick { clock.given } else { 0 };
        clock.given += more;
        more
    }
}

impl CoopBudget {
    /// A budget of `messages`, or one that goes by time.
    #[inline(always)]
    pub(crate) fn new(messages: Option<usize>) -> Self {
        let limit = Limit::new(messages);
        Self {
            left: limit.first(),
            limit,
            standoff: Standoff::new(),
        }
    }

    /// The task is going to pause: the budget is whole again.
    #[inline]
    pub(crate) fn reset(&mut self) {
        self.left = self.limit.first();
        if let Limit::Time { clock } = &mut self.limit {
            *clock = None;
        }
    }

    /// Whether the budget has something left; if not, wakes the task for its next turn.
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

    /// Polls `source` with `take`; `weigh` says for how many messages it counts. `None` when the source is closed
    /// and drained.
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
                self.left = self.left.saturating_sub(count);
                self.standoff.record(count);
                return Poll::Ready(found);
            }
            if source.lingers() && self.standoff.outlasts(|| source.has_lingered_for()) {
                continue;
            }
            match source.sleep(cx.waker()) {
                Sleep::Ready => {}
                Sleep::Closed => return Poll::Ready(None),
                Sleep::Asleep => break,
                Sleep::Busy => {
                    // Polled again soon.
                    cx.waker().wake_by_ref();
                    // A model must be told that it is another thread's turn.
                    #[cfg(loom)]
                    crate::sync::yield_now();
                    break;
                }
            }
        }
        self.reset();
        Poll::Pending
    }

    /// Polls `source` with `take`, which appends messages somewhere and returns how many: zero when the source is
    /// closed and drained.
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
