//! A participant: a handle whose actor type is not known, and what its crash means.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use crate::{
    actor::Actor, cell::ActorCell, exit::CrashPolicy, handle::ActorHandle,
    patterns::conversation::request::Request,
};

/// A handle to a participant, with its actor type erased.
pub(super) trait Forward<Q, R>: Send {
    /// Sends a request. A refused one is dropped.
    fn forward(&mut self, request: Request<Q, R>) -> bool;
    /// Waits for room for one request. Ready with whether there is any; without, the participant
    /// takes no more.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<bool>;
    fn cell(&self) -> &Arc<ActorCell>;
    fn boxed_clone(&self) -> Box<dyn Forward<Q, R>>;
}

impl<Q, R, A> Forward<Q, R> for ActorHandle<A>
where
    A: Actor,
    A::LowPriorityMsg: From<Request<Q, R>>,
{
    fn forward(&mut self, request: Request<Q, R>) -> bool {
        self.try_send_low(request.into()).is_ok()
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if !ActorHandle::cell(self).is_alive() {
            return Poll::Ready(false);
        }
        self.poll_ready_low(cx).map(|ready| ready.is_ok())
    }

    fn cell(&self) -> &Arc<ActorCell> {
        ActorHandle::cell(self)
    }

    fn boxed_clone(&self) -> Box<dyn Forward<Q, R>> {
        Box::new(self.clone())
    }
}

pub(super) struct Participant<Q, R> {
    pub(super) lane: Box<dyn Forward<Q, R>>,
    pub(super) policy: CrashPolicy,
}

impl<Q, R> Clone for Participant<Q, R> {
    fn clone(&self) -> Self {
        Self {
            lane: self.lane.boxed_clone(),
            policy: self.policy,
        }
    }
}

/// An actor that takes part without getting requests.
#[derive(Clone)]
pub(super) struct Inert {
    pub(super) cell: Arc<ActorCell>,
    pub(super) policy: CrashPolicy,
}
