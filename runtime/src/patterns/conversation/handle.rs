//! The handle to a conversation.

use std::{fmt, time::Duration};

use crate::{
    error::SendError,
    handle::ActorHandle,
    patterns::conversation::{
        actor::Conversation,
        error::ConversationError,
        messages::{ConversationMessage, ConversationState, NewRequest},
    },
    util::timer::from_now,
};

/// Talks to the participants of a conversation.
///
/// Requests wait their turn: at a full participant in the conversation, and before a conversation
/// that holds as many requests and replies as it may
/// ([`ConversationBuilder::max_pending`](crate::patterns::ConversationBuilder::max_pending)) in its
/// lanes. [`state`](Self::state) has the numbers.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use lanemesh_runtime::{
///     Actor, ActorResult, Context, CrashPolicy, patterns::{Conversation, Request}, spawn,
/// };
///
/// struct Doubler;
///
/// impl Actor for Doubler {
///     type HighPriorityMsg = ();
///     type LowPriorityMsg = Request<u32, u32>;
///
///     async fn on_low(&mut self, ask: Request<u32, u32>, _: &mut Context<Self>) -> ActorResult {
///         let double = ask.body() * 2;
///         ask.answer(double);
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (doubler, _child) = spawn(Doubler);
/// let (mut talk, _supervised) =
///     Conversation::builder().participant(&doubler, CrashPolicy::RouteToNext).spawn();
/// talk.send(21).await?;
/// assert_eq!(talk.receive(Duration::from_secs(1)).await?, 42);
/// assert_eq!(talk.request(4, Duration::from_secs(1)).await?, 8);
/// # Ok(()) }
/// ```
pub struct ConversationHandle<Q: Send + 'static, R: Send + 'static>(
    ActorHandle<Conversation<Q, R>>,
);

impl<Q: Send + 'static, R: Send + 'static> ConversationHandle<Q, R> {
    /// A handle to a conversation that was spawned from
    /// [`ConversationBuilder::actor`](crate::patterns::ConversationBuilder::actor).
    pub fn new(handle: ActorHandle<Conversation<Q, R>>) -> Self {
        Self(handle)
    }

    /// Sends a request, behind those sent before; its reply comes through [`receive`](Self::receive).
    ///
    /// # Errors
    ///
    /// As [`ActorHandle::send_low`].
    ///
    /// # Cancel safety
    ///
    /// A cancelled send has not sent.
    pub async fn send(&mut self, request: Q) -> Result<(), SendError<Q>> {
        let new = NewRequest {
            body: request,
            caller: None,
        };
        let sent = self.0.send_low(new).await;
        sent.map(|_| ()).map_err(|error| error.map(|new| new.body))
    }

    /// Waits for the next reply, whichever request it answers.
    ///
    /// # Errors
    ///
    /// See [`ConversationError`]. A crash ends the wait at once.
    ///
    /// # Cancel safety
    ///
    /// No reply is lost: a reply that a cancelled receive did not return goes to the next receive.
    pub async fn receive(&mut self, timeout: Duration) -> Result<R, ConversationError> {
        self.0
            .ask(ConversationMessage::Receive, timeout)
            .await?
            .open()
    }

    /// Sends a request, behind those sent before, and waits for the reply to it. The timeout includes
    /// the wait for room.
    ///
    /// # Errors
    ///
    /// See [`ConversationError`]. A crash ends the wait at once.
    ///
    /// # Cancel safety
    ///
    /// A cancelled request may have been forwarded; its reply is dropped.
    pub async fn request(&mut self, body: Q, timeout: Duration) -> Result<R, ConversationError> {
        let deadline = from_now(timeout);
        let new = |reply| NewRequest {
            body,
            caller: Some((reply, deadline)),
        };
        self.0.ask_low(new, timeout).await?
    }

    /// The state of the conversation.
    ///
    /// # Errors
    ///
    /// [`ConversationError::Closed`] or [`ConversationError::Timeout`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn state(
        &mut self,
        timeout: Duration,
    ) -> Result<ConversationState, ConversationError> {
        Ok(self.0.ask(ConversationMessage::State, timeout).await?)
    }

    /// Ends the conversation. Waiting callers get [`ConversationError::Closed`].
    pub fn close(&self) {
        self.0.stop();
    }

    /// The handle of the conversation's actor.
    pub fn actor(&self) -> &ActorHandle<Conversation<Q, R>> {
        &self.0
    }
}

impl<Q: Send + 'static, R: Send + 'static> Clone for ConversationHandle<Q, R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Q: Send + 'static, R: Send + 'static> fmt::Debug for ConversationHandle<Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConversationHandle").field(&self.0).finish()
    }
}
