//! A request on its way to a participant, and the way back.

use std::fmt;

use tokio::sync::mpsc;

use crate::patterns::conversation::error::ConversationError;

pub(super) type Outcome<R> = Result<R, ConversationError>;

/// A request as a participant receives it. The participant's message type must implement `From` for
/// it.
///
/// Dropping it without an answer, for example by a crash, notifies the conversation at once.
pub struct Request<Q, R> {
    pub(super) body: Q,
    pub(super) ticket: Ticket<R>,
}

impl<Q, R> Request<Q, R> {
    /// The content of the request.
    pub fn body(&self) -> &Q {
        &self.body
    }

    /// Sends the answer. If the conversation has ended, the answer is dropped.
    pub fn answer(mut self, reply: R) {
        self.ticket.report(Some(reply));
    }
}

impl<Q: fmt::Debug, R> fmt::Debug for Request<Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

/// Reports exactly once: an answer, or none.
pub(super) struct Ticket<R> {
    pub(super) request: u64,
    pub(super) attempt: u64,
    pub(super) back: Option<FeedbackSender<R>>,
}

impl<R> Ticket<R> {
    fn report(&mut self, reply: Option<R>) {
        if let Some(back) = self.back.take() {
            // The conversation may have ended meanwhile.
            let _ = back.send(Feedback::Answered {
                request: self.request,
                attempt: self.attempt,
                reply,
            });
        }
    }
}

impl<R> Drop for Ticket<R> {
    fn drop(&mut self) {
        self.report(None);
    }
}

/// What returns to a conversation.
pub(super) enum Feedback<R> {
    /// The request with this number was answered in this attempt, or dropped without an answer.
    Answered {
        request: u64,
        attempt: u64,
        reply: Option<R>,
    },
    /// A reply whose receive was cancelled.
    Returned(Outcome<R>),
}

pub(super) type FeedbackSender<R> = mpsc::UnboundedSender<Feedback<R>>;
