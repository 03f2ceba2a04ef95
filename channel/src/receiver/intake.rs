//! What every receiver does with its source, whether that is a channel, a mailbox or one class of it: take, poll, or
//! wait as a thread that parks.

use std::{
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{
    budget::{CoopBudget, Source},
    wait::Sleeper,
};
use crate::{
    error::{RecvTimeoutError, TryRecvError},
    sync::{park, spin::spin},
};

/// A source, and the budget of the receiver that takes from it.
pub(crate) struct Intake<'a, S> {
    pub(crate) source: &'a mut S,
    pub(crate) budget: &'a mut CoopBudget,
}

impl<'a, S: Source> Intake<'a, S> {
    #[inline(always)]
    pub(crate) fn new(source: &'a mut S, budget: &'a mut CoopBudget) -> Self {
        Self { source, budget }
    }

    /// The same, borrowed from this.
    #[inline(always)]
    pub(crate) fn reborrow(&mut self) -> Intake<'_, S> {
        Intake::new(self.source, self.budget)
    }

    #[inline(always)]
    pub(crate) fn try_recv(self) -> Result<S::Message, TryRecvError> {
        match self.source.try_next() {
            Some(message) => Ok(message),
            None => Err(why_nothing(self.source)),
        }
    }

    #[inline]
    pub(crate) fn try_recv_many(
        self,
        into: &mut Vec<S::Message>,
        limit: usize,
    ) -> Result<usize, TryRecvError> {
        match self.source.try_next_many(into, limit) {
            0 if limit > 0 => Err(why_nothing(self.source)),
            count => Ok(count),
        }
    }

    #[inline(always)]
    pub(crate) fn poll_recv(self, cx: &mut Context<'_>) -> Poll<Option<S::Message>> {
        self.budget.poll(self.source, cx, S::poll_next, |_| 1)
    }

    #[inline]
    pub(crate) fn poll_recv_many(
        self,
        cx: &mut Context<'_>,
        into: &mut Vec<S::Message>,
        limit: usize,
    ) -> Poll<usize> {
        if limit == 0 {
            return Poll::Ready(0);
        }
        self.budget
            .poll_many(self.source, cx, |source| source.try_next_many(into, limit))
    }

    pub(crate) fn poll_readable(self, cx: &mut Context<'_>) -> Poll<bool> {
        let look = |source: &mut S| source.has_next().then_some(());
        let found = self.budget.poll(self.source, cx, look, |()| 1);
        found.map(|found| found.is_some())
    }

    pub(crate) fn recv_timeout(self, timeout: Duration) -> Result<S::Message, RecvTimeoutError> {
        if timeout.is_zero() {
            return self.try_recv().map_err(RecvTimeoutError::from);
        }
        self.recv_until(Instant::now().checked_add(timeout))
    }

    /// Receives a message, parking the thread while there is none.
    pub(crate) fn recv_until(
        self,
        deadline: Option<Instant>,
    ) -> Result<S::Message, RecvTimeoutError> {
        self.wait_until(deadline, S::try_next)
    }

    /// Receives a batch, parking the thread while there is nothing. Zero if nothing will come, or if `limit` is zero.
    pub(crate) fn blocking_recv_many(mut self, into: &mut Vec<S::Message>, limit: usize) -> usize {
        if limit == 0 {
            return 0;
        }
        loop {
            let count = self.source.try_next_many(into, limit);
            if count > 0 {
                return count;
            }
            let look = |source: &mut S| source.has_next().then_some(());
            if self.reborrow().wait_until(None, look).is_err() {
                return 0;
            }
        }
    }

    /// Waits until `attempt` returns something, or nothing will come.
    fn wait_until<R>(
        mut self,
        deadline: Option<Instant>,
        attempt: impl Fn(&mut S) -> Option<R>,
    ) -> Result<R, RecvTimeoutError> {
        let first = attempt(self.source);
        let spun = first.or_else(|| spin(deadline, || attempt(self.source)));
        let spun = spun.map(Some);
        let received = spun.or_else(|| {
            self.budget.begin_wait();
            let received = park::block_on(deadline, |cx| {
                self.budget.reset();
                self.budget.poll(self.source, cx, &attempt, |_| 1)
            });
            self.stop_sleeping();
            received
        });
        match received {
            Some(Some(message)) => Ok(message),
            Some(None) => Err(RecvTimeoutError::Closed),
            None => self.look_at_the_deadline(attempt),
        }
    }
}

impl<S: Source> Intake<'_, S> {
    /// The last look of a wait whose time is over: a poll may be pending only because others are to run first.
    #[cold]
    fn look_at_the_deadline<R>(
        self,
        attempt: impl Fn(&mut S) -> Option<R>,
    ) -> Result<R, RecvTimeoutError> {
        match attempt(self.source) {
            Some(received) => Ok(received),
            None if self.source.is_finished() => Err(RecvTimeoutError::Closed),
            None => Err(RecvTimeoutError::Timeout),
        }
    }
}

impl<S: Source> Sleeper for Intake<'_, S> {
    fn stop_sleeping(&mut self) {
        self.source.stop_sleeping();
    }
}

/// Why nothing was found.
#[cold]
fn why_nothing(source: &mut impl Source) -> TryRecvError {
    if source.is_finished() {
        TryRecvError::Closed
    } else {
        TryRecvError::Empty
    }
}
