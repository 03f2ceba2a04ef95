//! What a conversation's handle and its actor say to each other. The types are not nameable from outside.

use std::fmt;

use crate::{
    handle::Reply,
    patterns::conversation::{
        error::ConversationError,
        request::{Feedback, FeedbackSender, Outcome},
    },
};

/// What the conversation can be asked about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConversationState {
    /// Participants that are alive.
    pub participants: usize,
    /// Requests that are not answered yet.
    pub pending: usize,
    /// Replies that nobody has received yet.
    pub replies: usize,
    /// Receives that wait.
    pub waiting: usize,
}

/// A reply on its way to a receive. It goes back when it is not opened: a receive may be cancelled
/// when the reply is there already.
pub struct ReplyDelivery<R> {
    pub(super) outcome: Option<Outcome<R>>,
    pub(super) back: Option<FeedbackSender<R>>,
}

impl<R> ReplyDelivery<R> {
    /// A word that concerns nobody else.
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

/// What a conversation's handle sends to it.
#[derive(Debug)]
pub enum ConversationMessage<Q, R> {
    Receive(Reply<ReplyDelivery<R>>),
    Request(Q, Reply<Outcome<R>>),
    State(Reply<ConversationState>),
}
