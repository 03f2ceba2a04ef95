//! Sending to an actor with one type of messages: each message says by its priority which lane it
//! takes.

use lanemesh::Sent;
use tokio::time::Instant;

use crate::{
    actor::{Handler, Priority},
    error::SendError,
    handle::ActorHandle,
};

impl<A: Handler> ActorHandle<A> {
    /// Sends a message through the lane of its [`priority`](Handler::priority). When the lane is
    /// full, its overflow policy applies.
    ///
    /// # Errors
    ///
    /// As [`send_low`](Self::send_low).
    ///
    /// # Cancel safety
    ///
    /// A cancelled send has not sent, and its message is dropped.
    ///
    /// # Examples
    ///
    /// See [`Handler`].
    pub async fn tell(&mut self, message: A::Msg) -> Result<Sent, SendError<A::Msg>> {
        match A::priority(&message) {
            Priority::High => self.send_high(message).await,
            Priority::Low => self.send_low(message).await,
        }
    }

    /// Sends a message without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] or [`SendError::Closed`], with the message.
    pub fn try_tell(&mut self, message: A::Msg) -> Result<(), SendError<A::Msg>> {
        match A::priority(&message) {
            Priority::High => self.try_send_high(message),
            Priority::Low => self.try_send_low(message),
        }
    }

    /// Sends a message that expires at `deadline`.
    ///
    /// # Errors
    ///
    /// As [`send_low_by`](Self::send_low_by).
    ///
    /// # Cancel safety
    ///
    /// A cancelled send has not sent, and its message is dropped.
    pub async fn tell_by(
        &mut self,
        message: A::Msg,
        deadline: Instant,
    ) -> Result<Sent, SendError<A::Msg>> {
        match A::priority(&message) {
            Priority::High => self.send_high_by(message, deadline).await,
            Priority::Low => self.send_low_by(message, deadline).await,
        }
    }
}
