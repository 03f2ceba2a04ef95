//! How an actor is asked to end, by when, and what remains of it.

use std::time::Duration;

use tokio::time::Instant;

use super::{ActorCell, Counters, signals::signal};
use crate::{
    exit::{ExitNotice, ExitReason},
    id::Phase,
    util::{lock::lock, timer::from_now},
};

impl ActorCell {
    // --- requests -----------------------------------------------------------------------------

    /// Requests a stop by `deadline`; the earliest of several deadlines applies.
    pub(crate) fn request_stop(&self, deadline: Instant, bits: u32) {
        self.request(deadline, bits, None);
    }

    /// Requests a stop by `deadline` together with others; see [`parents`](Self::parents).
    pub(crate) fn request_end(&self, deadline: Instant, bits: u32, parents: u32) {
        self.request(deadline, bits, Some(parents));
    }

    fn request(&self, deadline: Instant, bits: u32, parents: Option<u32>) {
        let mut inner = lock(&self.inner);
        let earliest = inner.deadline.map_or(deadline, |known| known.min(deadline));
        inner.deadline = Some(earliest);
        // Only parents keep it.
        if let (Some(parents), Some(coordination)) = (parents, &mut inner.coordination) {
            coordination.parents = parents;
        }
        // Under the lock: as in `raise`, the task registers its waker under it before it reads the
        // word.
        self.signals.set(bits);
        let waker = inner.waker.clone();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends the actor without a clean-up of its own, because the program wants it.
    pub(crate) fn kill(&self) {
        self.raise(signal::KILL | signal::ON_PURPOSE);
    }

    /// Whether [`kill`](Self::kill) was called.
    pub(crate) fn is_killed_on_purpose(&self) -> bool {
        self.signals() & signal::ON_PURPOSE != 0
    }

    /// Requests a stop within the actor's own grace period.
    pub(crate) fn stop_in_grace(&self) {
        self.request_stop(from_now(self.grace()), signal::STOP);
    }

    /// How long the actor may take to stop.
    pub(crate) fn grace(&self) -> Duration {
        Duration::from_nanos(self.grace)
    }

    /// Requests the end of the incarnation by `deadline`.
    pub(crate) fn suspend(&self, deadline: Instant) {
        lock(&self.inner).coordination().suspended_by = Some(deadline);
        self.raise(signal::SUSPEND);
    }

    /// When the incarnation must have ended, if its end was requested.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let inner = lock(&self.inner);
        let suspended_by = inner
            .coordination
            .as_ref()
            .and_then(|coordination| coordination.suspended_by);
        match (inner.deadline, suspended_by) {
            (Some(deadline), Some(suspended_by)) => Some(deadline.min(suspended_by)),
            (deadline, suspended_by) => deadline.or(suspended_by),
        }
    }

    /// When the actor must have ended, if it was asked to stop or to drain. A suspension, which ends an
    /// incarnation, has no part in it.
    pub(crate) fn final_deadline(&self) -> Option<Instant> {
        lock(&self.inner).deadline
    }

    /// Whether the deadline of a stop or a drain has passed.
    pub(crate) fn is_overdue(&self) -> bool {
        let deadline = self.final_deadline();
        deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Forgets the deadline of a suspension. That of a drain stays: the next incarnation drains.
    pub(crate) fn end_suspension(&self) {
        if let Some(coordination) = &mut lock(&self.inner).coordination {
            coordination.suspended_by = None;
        }
    }

    /// How many levels of parents end with this actor, itself included, as the one that ends it has
    /// counted; 0 if nobody has.
    pub(crate) fn parents(&self) -> u32 {
        let inner = lock(&self.inner);
        let coordination = inner.coordination.as_ref();
        coordination.map_or(0, |coordination| coordination.parents)
    }

    // --- the end ------------------------------------------------------------------------------

    /// After an incarnation: ends what it has registered, and drops the control queue, whose notices
    /// concern the one that ended.
    pub(crate) fn end_incarnation(&self) {
        let registrations = match &mut lock(&self.inner).coordination {
            Some(coordination) => std::mem::take(&mut coordination.registrations),
            None => return,
        };
        for registration in registrations {
            (registration.end)();
        }
        let dropped = {
            let mut inner = lock(&self.inner);
            self.clear(signal::CONTROL);
            let coordination = inner.coordination.as_mut();
            coordination.map(|coordination| std::mem::take(&mut coordination.control))
        };
        drop(dropped);
    }

    /// Records the end and notifies every watcher. Only the first call has an effect. The counters
    /// are the last ones.
    pub(crate) fn finish(&self, reason: ExitReason, counters: Option<&Counters>) {
        let (coordination, waker) = {
            let mut inner = lock(&self.inner);
            if let Some(counters) = counters {
                inner.counters.copy(counters);
            }
            // Under the lock, so that a watcher is either in the list or sees the reason.
            if self.exit.set((reason.clone(), Instant::now())).is_err() {
                return;
            }
            self.set_phase(Phase::Dead);
            // The waker would keep the memory of the task alive as long as there are handles.
            (inner.coordination.take(), inner.waker.take())
        };
        drop(waker);
        let Some(coordination) = coordination else {
            return;
        };
        coordination.watchers.notify(self, &reason);
        coordination.waits.release();
    }

    pub(crate) fn notice(&self, reason: ExitReason) -> ExitNotice {
        let left = lock(&self.inner).counters.left();
        self.final_notice(reason, left)
    }

    /// The notice of its end, if it is known how many messages were left.
    pub(crate) fn final_notice(&self, reason: ExitReason, left: u64) -> ExitNotice {
        ExitNotice {
            id: self.id,
            name: self.actor_name(),
            reason,
            at: self.exit.get().map_or_else(Instant::now, |(_, at)| *at),
            left,
        }
    }
}
