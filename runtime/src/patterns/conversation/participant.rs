//! A participant: a handle whose actor type is not known, and what its crash means.

use std::sync::Arc;

use crate::{
    actor::Actor,
    cell::ActorCell,
    error::SendError,
    exit::CrashPolicy,
    handle::ActorHandle,
    patterns::conversation::{error::ConversationError, request::Request},
};

/// A handle to a participant, with its actor type erased.
pub(super) trait Forward<Q, R>: Send {
    fn forward(&mut self, request: Request<Q, R>) -> Result<(), ConversationError>;
    fn cell(&self) -> &Arc<ActorCell>;
    fn boxed_clone(&self) -> Box<dyn Forward<Q, R>>;
}

impl<Q, R, A> Forward<Q, R> for ActorHandle<A>
where
    A: Actor,
    A::LowPriorityMsg: From<Request<Q, R>>,
{
    fn forward(&mut self, request: Request<Q, R>) -> Result<(), ConversationError> {
        let id = self.id();
        self.try_send_low(request.into())
            .map_err(|error| match error {
                SendError::Full(_) => ConversationError::Busy,
                _ => ConversationError::ParticipantCrashed(id),
            })
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
