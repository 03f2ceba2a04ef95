//! The messages between a conversation's handle and its actor. Other crates cannot name them.

use std::fmt;

use tokio::time::Instant;

use crate::{
    handle::Reply,
    patterns::conversation::{
        error::ConversationError,
        request::{Feedback, FeedbackSender, Outcome},
    },
};

/// The state of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConversationState {
    /// Number of living participants.
    pub participants: usize,
    /// Number of living inert participants.
    pub inert: usize,
    /// Number of requests without an answer.
    pub pending: usize,
    /// Number of replies that were not received yet.
    pub replies: usize,
    /// Number of receives that wait for a reply.
    pub waiting: usize,
}

/// A reply on its way to a receive. It returns to the conversation if it is dropped unopened: a
/// receive may be cancelled after the reply was sent.
pub struct ReplyDelivery<R> {
    pub(super) outcome: Option<Outcome<R>>,
    pub(super) back: Option<FeedbackSender<R>>,
}

impl<R> ReplyDelivery<R> {
    /// An error, which does not return to the conversation.
    pub(super) fn error(error: ConversationError) -> Self {
        Self {
            outcome: Some(Err(error)),
            back: None,
        }
    }

    pub(super) fn open(mut self) -> Outcome<R> {
        let outcome = self.outcome.take();
        outcome.unwrap_or(Err(ConversationError::Closed))
    }
}

impl<R> Drop for ReplyDelivery<R> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take()
            && let Some(back) = &self.back
        {
            // The conversation may have ended meanwhile.
            let _ = back.send(Feedback::Returned(outcome));
        }
    }
}

impl<R> fmt::Debug for ReplyDelivery<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyDelivery").finish_non_exhaustive()
    }
}

/// What the handle sends to the conversation, besides requests.
#[derive(Debug)]
pub enum ConversationMessage<R> {
    Receive(Reply<ReplyDelivery<R>>),
    State(Reply<ConversationState>),
}

/// A request on its way to the conversation.
pub struct NewRequest<Q, R> {
    pub(super) body: Q,
    /// The caller, and when it gives up.
    pub(super) caller: Option<(Reply<Outcome<R>>, Instant)>,
}

impl<Q, R> fmt::Debug for NewRequest<Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewRequest").finish_non_exhaustive()
    }
}
