//! Sending one message through the lanes that clones share.

use std::future::poll_fn;

use lanemesh::{Sent, TrySendError};
use tokio::time::Instant;

use crate::{
    actor::Actor,
    error::SendError,
    handle::{
        SharedHandle,
        lane::{refuse, send_through},
    },
};

impl<A: Actor> SharedHandle<A> {
    /// Sends a high-priority message. When the lane is full, its overflow policy applies.
    ///
    /// # Errors
    ///
    /// As [`ActorHandle::send_high`](crate::ActorHandle::send_high).
    ///
    /// # Cancel safety
    ///
    /// A cancelled send has not sent, and its message is dropped.
    pub async fn send_high(
        &self,
        message: A::HighPriorityMsg,
    ) -> Result<Sent, SendError<A::HighPriorityMsg>> {
        let envelope = self.wrap(message);
        send_through!(self.tx.high(), &self.cell, self.policies.high, envelope)
    }

    /// Sends a high-priority message without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] when the lane has no room, or when others wait for it;
    /// [`SendError::Closed`]. Both return the message.
    pub fn try_send_high(
        &self,
        message: A::HighPriorityMsg,
    ) -> Result<(), SendError<A::HighPriorityMsg>> {
        let envelope = self.wrap(message);
        refuse(&self.cell, self.tx.high().try_send(envelope))
    }

    /// Sends a high-priority message that expires at `deadline`.
    ///
    /// # Errors
    ///
    /// As [`ActorHandle::send_high_by`](crate::ActorHandle::send_high_by).
    ///
    /// # Cancel safety
    ///
    /// As [`send_high`](Self::send_high).
    pub async fn send_high_by(
        &self,
        message: A::HighPriorityMsg,
        deadline: Instant,
    ) -> Result<Sent, SendError<A::HighPriorityMsg>> {
        let envelope = self.wrap_by(message, deadline)?;
        send_through!(self.tx.high(), &self.cell, self.policies.high, envelope)
    }

    /// Waits for room for a high-priority message, without deadlock detection. Another clone may take
    /// the room first.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the actor accepts no more messages.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn high_ready(&self) -> Result<(), SendError<()>> {
        let room = self.tx.high().reserve().await;
        room.map(drop).map_err(|_| SendError::Closed(()))
    }

    /// Sends a low-priority message. When the lane is full, its overflow policy applies.
    ///
    /// # Errors
    ///
    /// As [`ActorHandle::send_low`](crate::ActorHandle::send_low).
    ///
    /// # Cancel safety
    ///
    /// A cancelled send has not sent, and its message is dropped.
    pub async fn send_low(
        &self,
        message: A::LowPriorityMsg,
    ) -> Result<Sent, SendError<A::LowPriorityMsg>> {
        let envelope = self.wrap(message);
        send_through!(self.tx.low(), &self.cell, self.policies.low, envelope)
    }

    /// Sends a low-priority message without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] when the lane has no room, or when others wait for it;
    /// [`SendError::Closed`]. Both return the message.
    pub fn try_send_low(
        &self,
        message: A::LowPriorityMsg,
    ) -> Result<(), SendError<A::LowPriorityMsg>> {
        let envelope = self.wrap(message);
        refuse(&self.cell, self.tx.low().try_send(envelope))
    }

    /// Sends a low-priority message that expires at `deadline`.
    ///
    /// # Errors
    ///
    /// As [`ActorHandle::send_low_by`](crate::ActorHandle::send_low_by).
    ///
    /// # Cancel safety
    ///
    /// As [`send_low`](Self::send_low).
    pub async fn send_low_by(
        &self,
        message: A::LowPriorityMsg,
        deadline: Instant,
    ) -> Result<Sent, SendError<A::LowPriorityMsg>> {
        let envelope = self.wrap_by(message, deadline)?;
        send_through!(self.tx.low(), &self.cell, self.policies.low, envelope)
    }

    /// Waits for room for a low-priority message, without deadlock detection. Another clone may take
    /// the room first.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the actor accepts no more messages.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn low_ready(&self) -> Result<(), SendError<()>> {
        let room = self.tx.low().reserve().await;
        room.map(drop).map_err(|_| SendError::Closed(()))
    }

    /// Waits for room for `wanted` low-priority messages, or for an empty lane if that is less.
    /// Returns at once when the actor accepts no more messages: the next send fails. Without
    /// deadlock detection.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn low_room(&self, wanted: usize) {
        let lane = self.tx.low();
        let wanted = wanted.min(lane.capacity());
        let has_room = || lane.is_closed() || lane.remaining_capacity() >= wanted;
        poll_fn(|cx| self.cell.poll_room(cx, has_room)).await;
    }
}
