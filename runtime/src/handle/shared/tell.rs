//! Sending to an actor with one type of messages through the lanes that clones share.

use lanemesh::Sent;
use tokio::time::Instant;

use crate::{
    actor::{Handler, Priority},
    error::SendError,
    handle::SharedHandle,
};

impl<A: Handler> SharedHandle<A> {
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
    pub async fn tell(&self, message: A::Msg) -> Result<Sent, SendError<A::Msg>> {
        match A::priority(&message) {
            Priority::High => self.send_high(message).await,
            Priority::Low => self.send_low(message).await,
        }
    }

    /// Sends a message without waiting.
    ///
    /// # Errors
    ///
    /// As [`try_send_low`](Self::try_send_low).
    pub fn try_tell(&self, message: A::Msg) -> Result<(), SendError<A::Msg>> {
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
        &self,
        message: A::Msg,
        deadline: Instant,
    ) -> Result<Sent, SendError<A::Msg>> {
        match A::priority(&message) {
            Priority::High => self.send_high_by(message, deadline).await,
            Priority::Low => self.send_low_by(message, deadline).await,
        }
    }
}
