//! The guard around an incarnation: panics become values, and a deadline or a kill ends it.
//!
//! It is around a whole incarnation, not around each message.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    cell::{ActorCell, signal},
    supervision::{Health, HealthCheck},
    util::{
        panic::{PanicText, poll_caught},
        timer::from_now,
    },
};

/// Why a guarded future did not complete.
pub(crate) enum Cut {
    Killed,
    Unhealthy,
    Panicked(PanicText),
}

/// Polls a future until it completes, panics, is killed, misses the deadline of a stop, or fails
/// its health checks. Timers are created when they are first needed.
///
/// It borrows the future: a future moved into another takes its space twice.
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

    /// Polls what an incarnation of the actor `cell` does at its end. It has the time that is left, or
    /// the actor's grace period if no stop was requested.
    pub(crate) fn poll_end(
        &mut self,
        cell: &ActorCell,
        cx: &mut Context<'_>,
        future: Pin<&mut dyn Future<Output = ()>>,
    ) -> Poll<Result<(), Cut>> {
        if let Some(cut) = self.cut_before(cell, cell.signals(), cx) {
            return Poll::Ready(Err(cut));
        }
        let poll = poll_caught(future, cx).map_err(Cut::Panicked);
        if poll.is_ready() {
            return poll;
        }
        let known = self.limit.as_ref().map(|limit| limit.deadline());
        let deadline = cell.deadline().or(known);
        self.poll_deadline(deadline.unwrap_or_else(|| from_now(cell.grace())), cx)
    }

    /// Why the future must not be polled, according to the current `signals`.
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

    /// Begins the health checks after the poll in which the `started` hook has finished.
    #[inline]
    pub(crate) fn begin_checks(&mut self, cell: &ActorCell, cx: &mut Context<'_>) {
        if let Some(health_check) = &mut self.health_check
            && health_check.is_due()
        {
            // Nothing can have failed yet.
            let _ = health_check.poll(cell, cx);
        }
    }

    /// The result of a poll of an incarnation, unless its time is up. `signals` are those from
    /// before the poll.
    #[inline]
    pub(crate) fn check_deadline<T>(
        &mut self,
        cell: &ActorCell,
        signals: u32,
        cx: &mut Context<'_>,
        poll: Poll<Result<T, Cut>>,
    ) -> Poll<Result<T, Cut>> {
        // A stop requested during the poll causes another poll.
        if poll.is_ready() || signals & BOUND == 0 {
            return poll;
        }
        match end_of_hooks(cell) {
            Some(deadline) => self.poll_deadline(deadline, cx),
            None => Poll::Pending,
        }
    }

    #[cold]
    fn poll_deadline<T>(
        &mut self,
        deadline: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, Cut>> {
        let limit = self
            .limit
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < limit.deadline() {
            limit.as_mut().reset(deadline);
        }
        limit.as_mut().poll(cx).map(|()| Err(Cut::Killed))
    }
}

/// When the hooks of an incarnation are cancelled. A part of the time is for the children, which
/// end after them: they can clean up even if a hook of their parent hangs.
#[cold]
fn end_of_hooks(cell: &ActorCell) -> Option<Instant> {
    let deadline = cell.deadline()?;
    if !cell.has_children() {
        return Some(deadline);
    }
    let left = deadline.saturating_duration_since(Instant::now());
    Some(deadline - left / CHILDREN_PART)
}

/// The part of the time that the hooks of a parent leave to its children.
const CHILDREN_PART: u32 = 8;

/// The signals that can come with a deadline.
const BOUND: u32 = signal::STOP | signal::SUSPEND | signal::DRAIN;
