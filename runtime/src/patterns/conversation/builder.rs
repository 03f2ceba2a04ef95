//! Describing a conversation and starting it.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
};

use tokio::sync::mpsc;

use crate::{
    actor::Actor,
    exit::CrashPolicy,
    handle::{ActorHandle, Child},
    id::ActorId,
    patterns::conversation::{
        actor::{Compensation, Conversation},
        handle::ConversationHandle,
        participant::Participant,
        request::Request,
    },
    spawn::{Builder, builder},
};

/// Describes a conversation.
#[must_use = "a conversation does nothing until it is spawned"]
pub struct ConversationBuilder<Q, R> {
    pub(super) copy: fn(&Q) -> Q,
    pub(super) participants: Vec<Participant<Q, R>>,
    pub(super) compensation: Option<Compensation<Q, R>>,
}

impl<Q: Send + 'static, R: Send + 'static> ConversationBuilder<Q, R> {
    /// Adds a participant; requests go to the first that is alive. `policy` decides what its crash
    /// means for the request that it had.
    pub fn participant<A>(mut self, handle: &ActorHandle<A>, policy: CrashPolicy) -> Self
    where
        A: Actor,
        A::LowPriorityMsg: From<Request<Q, R>>,
    {
        self.participants.push(Participant {
            lane: Box::new(handle.clone()),
            policy,
        });
        self
    }

    /// Makes the reply when a participant with [`CrashPolicy::Compensate`] crashes with a request;
    /// with none the request fails.
    pub fn compensate(
        mut self,
        compensation: impl Fn(&Q, ActorId) -> Option<R> + Send + Sync + 'static,
    ) -> Self {
        self.compensation = Some(Arc::new(compensation));
        self
    }

    /// The description of the actor, for a parent or a system to spawn, for example with restarts.
    pub fn actor(self) -> Builder<Conversation<Q, R>> {
        builder(move || {
            let (back, feedback) = mpsc::unbounded_channel();
            Conversation {
                copy: self.copy,
                participants: self.participants.clone(),
                compensation: self.compensation.clone(),
                back,
                feedback,
                pending: BTreeMap::new(),
                next: 0,
                ready: VecDeque::new(),
                waiting: VecDeque::new(),
            }
        })
    }

    /// Starts the conversation without a parent.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn(self) -> (ConversationHandle<Q, R>, Child) {
        let (handle, child) = self.actor().spawn();
        (ConversationHandle::new(handle), child)
    }
}

impl<Q, R> fmt::Debug for ConversationBuilder<Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConversationBuilder")
            .field("participants", &self.participants.len())
            .finish_non_exhaustive()
    }
}

impl<Q: Send + 'static, R: Send + 'static> Conversation<Q, R> {
    /// Describes a conversation without participants.
    pub fn builder() -> ConversationBuilder<Q, R>
    where
        Q: Clone,
    {
        ConversationBuilder {
            copy: Q::clone,
            participants: Vec::new(),
            compensation: None,
        }
    }
}
