//! Describing a conversation and starting it.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    actor::Actor,
    crash::Persistent,
    exit::CrashPolicy,
    handle::{ActorHandle, Child},
    id::ActorId,
    patterns::conversation::{
        actor::{Compensation, Conversation},
        book::Book,
        handle::ConversationHandle,
        mode::ConversationMode,
        participant::{Inert, Participant},
        request::Request,
    },
    spawn::{Builder, builder},
};

/// Describes a conversation.
#[must_use = "a conversation does nothing until it is spawned"]
pub struct ConversationBuilder<Q, R> {
    pub(super) copy: fn(&Q) -> Q,
    pub(super) participants: Vec<Participant<Q, R>>,
    pub(super) inert: Vec<Inert>,
    pub(super) compensation: Option<Compensation<Q, R>>,
    pub(super) timeout: Option<Duration>,
    pub(super) max_pending: usize,
    pub(super) mode: ConversationMode,
}

/// How many requests and replies a conversation holds unless its builder says otherwise.
const MAX_PENDING: usize = 1024;

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

    /// Adds an inert participant: it gets no requests, and with [`CrashPolicy::Fail`] its failure
    /// fails the conversation. The conversation does not keep it alive.
    pub fn inert<A: Actor>(mut self, handle: &ActorHandle<A>, policy: CrashPolicy) -> Self {
        self.inert.push(Inert {
            cell: handle.cell().clone(),
            policy,
        });
        self
    }

    /// How long a request may be without an answer, from when the conversation takes it. Then its
    /// reply is [`ConversationError::Timeout`](crate::patterns::ConversationError::Timeout), and
    /// an answer that comes later is dropped. Default: as long as its caller waits.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How many requests without an answer and replies that nobody has received the conversation
    /// holds together, at least 1. With as many it takes no more requests: they wait in its
    /// lanes, and so do their senders when these are full. Default 1024.
    pub fn max_pending(mut self, max_pending: usize) -> Self {
        self.max_pending = max_pending.max(1);
        self
    }

    /// What a restart of the conversation's actor leaves of its requests and replies. Default:
    /// [`ConversationMode::Ephemeral`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use lanemesh_runtime::{
    ///     Actor, ActorResult, Context, CrashPolicy, Restart, spawn,
    ///     patterns::{Conversation, ConversationHandle, ConversationMode, Request},
    ///     testing::Sink,
    /// };
    ///
    /// struct Echo;
    ///
    /// impl Actor for Echo {
    ///     type HighPriorityMsg = ();
    ///     type LowPriorityMsg = Request<u32, u32>;
    ///
    ///     async fn on_low(&mut self, ask: Request<u32, u32>, _: &mut Context<Self>) -> ActorResult {
    ///         let body = *ask.body();
    ///         ask.answer(body);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (echo, _echo) = spawn(Echo);
    /// let (listener, _listener) = spawn(Sink::<(), ()>::new());
    /// let (talk, _talk) = Conversation::builder()
    ///     .participant(&echo, CrashPolicy::RouteToNext)
    ///     .inert(&listener, CrashPolicy::Compensate)
    ///     .timeout(Duration::from_secs(5))
    ///     .max_pending(16)
    ///     .mode(ConversationMode::Persistent)
    ///     .actor()
    ///     .restart(Restart::Transient)
    ///     .spawn();
    /// let mut talk = ConversationHandle::new(talk);
    /// talk.send(7).await?;
    /// assert_eq!(talk.receive(Duration::from_secs(1)).await?, 7);
    /// assert_eq!(talk.state(Duration::from_secs(1)).await?.inert, 1);
    /// # Ok(()) }
    /// ```
    pub fn mode(mut self, mode: ConversationMode) -> Self {
        self.mode = mode;
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
        let new_book = {
            let participants = self.participants.len();
            move || Persistent::new(Book::new(participants))
        };
        let persistent = (self.mode == ConversationMode::Persistent).then(new_book);
        builder(move || {
            let book = match &persistent {
                Some(persistent) => persistent.lease(),
                None => new_book().lease(),
            };
            Conversation {
                copy: self.copy,
                participants: self.participants.clone(),
                inert: self.inert.clone(),
                compensation: self.compensation.clone(),
                timeout: self.timeout,
                max_pending: self.max_pending,
                mode: self.mode,
                book,
                timer: None,
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
            inert: Vec::new(),
            compensation: None,
            timeout: None,
            max_pending: MAX_PENDING,
            mode: ConversationMode::default(),
        }
    }
}
