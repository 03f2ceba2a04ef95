//! What a conversation's handle and its actor say to each other. The types are not nameable from outside.

use std::fmt;

use crate::{
    handle::Reply,
    patterns::conversation::{
        error::ConversationError,
        request::{Back, News, Outcome},
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
pub struct Parcel<R> {
    pub(super) outcome: Option<Outcome<R>>,
    pub(super) back: Option<Back<R>>,
}

impl<R> Parcel<R> {
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

impl<R> Drop for Parcel<R> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take()
            && let Some(back) = &self.back
        {
            // The conversation may have ended meanwhile.
            let _ = back.send(News::Returned(outcome));
        }
    }
}

impl<R> fmt::Debug for Parcel<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel").finish_non_exhaustive()
    }
}

/// What a conversation's handle sends to it.
#[derive(Debug)]
pub enum Talk<Q, R> {
    Receive(Reply<Parcel<R>>),
    Request(Q, Reply<Outcome<R>>),
    State(Reply<ConversationState>),
}
