//! A request on its way to a participant, and the way back.

use std::fmt;

use tokio::sync::mpsc;

use crate::patterns::conversation::error::ConversationError;

pub(super) type Outcome<R> = Result<R, ConversationError>;

/// A request as a participant gets it. Its message type must be made of it by `From`.
///
/// Dropping it without an answer, by a crash above all, tells the conversation at once.
pub struct Request<Q, R> {
    pub(super) body: Q,
    pub(super) ticket: Ticket<R>,
}

impl<Q, R> Request<Q, R> {
    /// What is asked.
    pub fn body(&self) -> &Q {
        &self.body
    }

    /// Answers. If the conversation has ended, the answer is dropped.
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

/// Reports exactly once: an answer, or that there is none.
pub(super) struct Ticket<R> {
    pub(super) number: u64,
    pub(super) back: Option<FeedbackSender<R>>,
}

impl<R> Ticket<R> {
    fn report(&mut self, reply: Option<R>) {
        if let Some(back) = self.back.take() {
            // The conversation may have ended meanwhile.
            let _ = back.send(Feedback::Answered(self.number, reply));
        }
    }
}

impl<R> Drop for Ticket<R> {
    fn drop(&mut self) {
        self.report(None);
    }
}

/// What comes back to a conversation.
pub(super) enum Feedback<R> {
    /// A request was answered, or let go without an answer.
    Answered(u64, Option<R>),
    /// Who was to receive this had given up by then.
    Returned(Outcome<R>),
}

pub(super) type FeedbackSender<R> = mpsc::UnboundedSender<Feedback<R>>;
