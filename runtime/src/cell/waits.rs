//! Waits at an actor: for room in its lanes, until it is idle; and its own wait for another actor.

use std::{
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
};

use super::{ActorCell, signals::signal};
use crate::{id::ActorId, util::lock::lock};

/// A round of restarts: an actor that is down waits for it, and it waits for a sibling of that actor to end.
pub(crate) trait Round: Send + Sync {
    /// The actor for whose end it waits now, if it does.
    fn awaited(&self) -> Option<Arc<ActorCell>>;
}

/// What an actor waits for.
#[derive(Clone)]
enum Awaited {
    /// Room in the lane of another actor.
    Actor(Weak<ActorCell>),
    /// Its restart together with its siblings.
    Round(Weak<dyn Round>),
}

impl Awaited {
    fn actor(&self) -> Option<Arc<ActorCell>> {
        match self {
            Self::Actor(actor) => actor.upgrade(),
            Self::Round(round) => round.upgrade()?.awaited(),
        }
    }
}

#[derive(Default)]
pub(super) struct Waits {
    waiting_on: Option<(Awaited, u64)>,
    /// The number of this actor's last wait.
    epoch: u64,
    room: Vec<Waker>,
    idle: Vec<Waker>,
    idle_tickets: u64,
    idle_done: u64,
}

impl Waits {
    /// Wakes all waiters: the actor has ended.
    pub(super) fn release(self) {
        let wakers = self.room.into_iter().chain(self.idle);
        wakers.for_each(Waker::wake);
    }
}

impl ActorCell {
    // --- room in the lanes --------------------------------------------------------------------

    /// Registers a waker for when the task has taken messages out of its low lanes.
    fn add_room_waiter(&self, waker: &Waker) {
        {
            let mut inner = lock(&self.inner);
            let waits = &mut inner.coordination().waits;
            if !waits.room.iter().any(|known| known.will_wake(waker)) {
                waits.room.push(waker.clone());
            }
        }
        self.raise(signal::ROOM);
    }

    /// Ready when `has_room`, or when the actor has ended.
    pub(crate) fn poll_room(
        &self,
        cx: &mut Context<'_>,
        mut has_room: impl FnMut() -> bool,
    ) -> Poll<()> {
        if has_room() || !self.is_alive() {
            return Poll::Ready(());
        }
        self.add_room_waiter(cx.waker());
        if has_room() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    pub(crate) fn wake_room_waiters(&self) {
        let room = {
            let mut inner = lock(&self.inner);
            self.clear(signal::ROOM);
            std::mem::take(&mut inner.coordination().waits.room)
        };
        room.into_iter().for_each(Waker::wake);
    }

    /// Waits until the task is idle. `ticket` keeps the caller's place from poll to poll.
    pub(crate) fn poll_idle(&self, ticket: &mut Option<u64>, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut inner = lock(&self.inner);
            if self.exit.get().is_some() {
                return Poll::Ready(());
            }
            let waits = &mut inner.coordination().waits;
            let ticket = *ticket.get_or_insert_with(|| {
                waits.idle_tickets += 1;
                waits.idle_tickets
            });
            if waits.idle_done >= ticket {
                return Poll::Ready(());
            }
            if !waits.idle.iter().any(|known| known.will_wake(cx.waker())) {
                waits.idle.push(cx.waker().clone());
            }
        }
        self.raise(signal::IDLE);
        Poll::Pending
    }

    /// The last ticket issued. The task reads it before it looks for something to do.
    pub(crate) fn idle_ticket(&self) -> u64 {
        lock(&self.inner).coordination().waits.idle_tickets
    }

    /// The task was idle after it read `ticket`: wakes those whose ticket is not later.
    pub(crate) fn wake_idle_waiters(&self, ticket: u64) {
        let idle = {
            let mut inner = lock(&self.inner);
            let waits = &mut inner.coordination().waits;
            if waits.idle_tickets == ticket {
                self.clear(signal::IDLE);
            }
            waits.idle_done = ticket;
            std::mem::take(&mut waits.idle)
        };
        idle.into_iter().for_each(Waker::wake);
    }

    // --- who waits for whom -------------------------------------------------------------------

    /// Records that this actor's handler waits for room in `target`.
    pub(crate) fn begin_wait(self: &Arc<Self>, target: &Arc<ActorCell>) -> WaitEdge {
        let mut inner = lock(&self.inner);
        let waits = &mut inner.coordination().waits;
        waits.epoch += 1;
        let epoch = waits.epoch;
        waits.waiting_on = Some((Awaited::Actor(Arc::downgrade(target)), epoch));
        drop(inner);
        WaitEdge {
            actor: self.clone(),
            epoch,
        }
    }

    /// Records that this actor, which is down, waits for a round of restarts.
    pub(crate) fn begin_round(&self, round: Weak<dyn Round>) {
        let mut inner = lock(&self.inner);
        let waits = &mut inner.coordination().waits;
        waits.epoch += 1;
        waits.waiting_on = Some((Awaited::Round(round), waits.epoch));
    }

    /// The round is over for this actor, which starts again or ends.
    pub(crate) fn end_round(&self) {
        if let Some(coordination) = &mut lock(&self.inner).coordination {
            coordination.waits.waiting_on = None;
        }
    }

    /// Follows the waits from this actor. Returns the cycle if they lead back to it, with the number
    /// of each wait.
    pub(crate) fn wait_cycle(self: &Arc<Self>) -> Option<Vec<(ActorId, u64)>> {
        let mut cycle = Vec::new();
        let mut at = self.clone();
        loop {
            let inner = lock(&at.inner);
            let (next, epoch) = inner.coordination.as_ref()?.waits.waiting_on.clone()?;
            drop(inner);
            cycle.push((at.id, epoch));
            at = next.actor()?;
            if at.id == self.id {
                return Some(cycle);
            }
            if cycle.iter().any(|(id, _)| *id == at.id) {
                return None; // a cycle without this actor: its members find it
            }
        }
    }
}

/// The record that an actor waits for another; dropping it removes the record.
pub(crate) struct WaitEdge {
    actor: Arc<ActorCell>,
    epoch: u64,
}

impl Drop for WaitEdge {
    fn drop(&mut self) {
        let mut inner = lock(&self.actor.inner);
        let waits = &mut inner.coordination().waits;
        if waits
            .waiting_on
            .as_ref()
            .is_some_and(|(_, epoch)| *epoch == self.epoch)
        {
            waits.waiting_on = None;
        }
    }
}
