//! Wrappers around a hook's future: panics become values, and a deadline or a kill ends it.
//!
//! They are put around a whole incarnation, not around each message.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    cell::{ActorCell, signal},
    supervision::{Health, HealthCheck},
    util::panic::{PanicText, poll_caught},
};

/// Why a guarded future did not come to its own end.
pub(crate) enum Cut {
    Killed,
    Unhealthy,
    Panicked(PanicText),
}

/// Polls a hook's future until it ends, panics, is killed, misses the deadline of a stop, or fails
/// its health checks. The timers are made only when they are needed.
///
/// It borrows the future, since a future that is moved into another is there twice.
#[derive(Default)]
pub(crate) struct Guard {
    health_check: Option<Box<HealthCheck>>,
    limit: Option<Pin<Box<Sleep>>>,
}

impl Guard {
    pub(crate) fn new(health: Option<Health>) -> Self {
        let health_check = health.map(|health| Box::new(HealthCheck::new(health)));
        Self {
            health_check,
            limit: None,
        }
    }

    /// Polls the future of the actor `shared`. With a `fallback` it ends at that time at the latest,
    /// whether somebody asks for a stop or not.
    #[inline]
    pub(crate) fn poll<F: Future>(
        &mut self,
        cell: &ActorCell,
        fallback: Option<Instant>,
        cx: &mut Context<'_>,
        mut future: Pin<&mut F>,
    ) -> Poll<Result<F::Output, Cut>> {
        let signals = cell.signals();
        if let Some(cut) = self.cut_before(cell, signals, cx) {
            return Poll::Ready(Err(cut));
        }
        let poll = poll_caught(future.as_mut(), cx).map_err(Cut::Panicked);
        self.check_deadline(cell, signals, fallback, cx, poll)
    }

    /// Why the hook is not to be polled at all, by the `signals` of now.
    #[inline]
    pub(crate) fn cut_before(
        &mut self,
        cell: &ActorCell,
        signals: u32,
        cx: &mut Context<'_>,
    ) -> Option<Cut> {
        if signals & signal::KILL != 0 {
            return Some(Cut::Killed);
        }
        if let Some(health_check) = &mut self.health_check
            && health_check.poll(cell, cx)
        {
            return Some(Cut::Unhealthy);
        }
        None
    }

    /// What a poll came to, after which the deadline may have passed. `signals` are those from before it.
    #[inline]
    pub(crate) fn check_deadline<T>(
        &mut self,
        cell: &ActorCell,
        signals: u32,
        fallback: Option<Instant>,
        cx: &mut Context<'_>,
        poll: Poll<Result<T, Cut>>,
    ) -> Poll<Result<T, Cut>> {
        // A stop that came while the hook was polled is followed by another poll.
        if poll.is_ready() || (signals & BOUND == 0 && fallback.is_none()) {
            return poll;
        }
        self.poll_deadline(cell.deadline().or(fallback), cx)
    }

    #[cold]
    fn poll_deadline<T>(
        &mut self,
        deadline: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, Cut>> {
        let Some(deadline) = deadline else {
            return Poll::Pending;
        };
        let limit = self
            .limit
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < limit.deadline() {
            limit.as_mut().reset(deadline);
        }
        limit.as_mut().poll(cx).map(|()| Err(Cut::Killed))
    }
}

/// The signals that may bring a deadline.
const BOUND: u32 = signal::STOP | signal::SUSPEND | signal::DRAIN;
