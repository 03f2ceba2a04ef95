//! Sending one message: now or when there is room, with or without a deadline.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use lanemesh::{Sender, Sent, TrySendError};
use tokio::time::Instant;

use crate::{
    actor::{Actor, Low},
    crash::KEPT,
    envelope::Envelope,
    error::SendError,
    handle::{
        ActorHandle,
        lane::{refuse, send_through},
    },
};

/// A message of a keeper: its token takes the place of the send time.
fn kept<M>(message: M, token: u32) -> Envelope<M> {
    Envelope {
        expires: 0,
        sent: KEPT | u64::from(token),
        message,
    }
}

impl<A: Actor> ActorHandle<A> {
    // --- high ---------------------------------------------------------------------------------

    /// Sends a high-priority message. When the lane is full, its overflow policy applies.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the actor accepts no more messages; [`SendError::Full`] under
    /// [`Overflow::Reject`](crate::Overflow::Reject); [`SendError::Deadlock`] when waiting would never end.
    ///
    /// # Cancel safety
    ///
    /// A cancelled send has not sent, and its message is dropped. To keep the message, wait for
    /// [`high_ready`](Self::high_ready), then [`try_send_high`](Self::try_send_high).
    pub async fn send_high(
        &mut self,
        message: A::HighPriorityMsg,
    ) -> Result<Sent, SendError<A::HighPriorityMsg>> {
        let envelope = self.wrap(message);
        send_through!(self.tx.high(), &self.cell, self.policies.high, envelope)
    }

    /// Sends a high-priority message without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] or [`SendError::Closed`], with the message.
    pub fn try_send_high(
        &mut self,
        message: A::HighPriorityMsg,
    ) -> Result<(), SendError<A::HighPriorityMsg>> {
        let envelope = self.wrap(message);
        refuse(&self.cell, self.tx.high().try_send(envelope))
    }

    /// Sends a high-priority message of the actor's [`Keeper`](crate::crash::Keeper) without waiting.
    ///
    /// # Errors
    ///
    /// As [`try_send_high`](Self::try_send_high).
    pub fn try_send_high_kept(
        &mut self,
        message: A::HighPriorityMsg,
        token: u32,
    ) -> Result<(), SendError<A::HighPriorityMsg>> {
        let envelope = kept(message, token);
        refuse(&self.cell, self.tx.high().try_send(envelope))
    }

    /// Sends a high-priority message that expires at `deadline`.
    ///
    /// # Errors
    ///
    /// As [`send_high`](Self::send_high); [`SendError::Expired`] when the deadline has passed, or
    /// passes while waiting for room.
    ///
    /// # Cancel safety
    ///
    /// As [`send_high`](Self::send_high).
    pub async fn send_high_by(
        &mut self,
        message: A::HighPriorityMsg,
        deadline: Instant,
    ) -> Result<Sent, SendError<A::HighPriorityMsg>> {
        let envelope = self.wrap_by(message, deadline)?;
        send_through!(self.tx.high(), &self.cell, self.policies.high, envelope)
    }

    /// Waits for room for a high-priority message, without deadlock detection.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the actor accepts no more messages.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn high_ready(&mut self) -> Result<(), SendError<()>> {
        poll_fn(|cx| self.poll_ready_high(cx)).await
    }

    pub(crate) fn poll_ready_high(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<()>>> {
        self.tx
            .high()
            .poll_reserve(cx)
            .map_err(|_| SendError::Closed(()))
    }

    // --- low ----------------------------------------------------------------------------------

    /// Sends a low-priority message. When the lane is full, its overflow policy applies.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the actor accepts no more messages; [`SendError::Full`] under
    /// [`Overflow::Reject`](crate::Overflow::Reject); [`SendError::Deadlock`] when waiting would never end.
    ///
    /// # Cancel safety
    ///
    /// A cancelled send has not sent, and its message is dropped. To keep the message, wait for
    /// [`low_ready`](Self::low_ready), then [`try_send_low`](Self::try_send_low).
    pub async fn send_low(
        &mut self,
        message: A::LowPriorityMsg,
    ) -> Result<Sent, SendError<A::LowPriorityMsg>> {
        let envelope = self.wrap(message);
        send_through!(self.tx.low(), &self.cell, self.policies.low, envelope)
    }

    /// Sends a low-priority message without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] or [`SendError::Closed`], with the message.
    pub fn try_send_low(
        &mut self,
        message: A::LowPriorityMsg,
    ) -> Result<(), SendError<A::LowPriorityMsg>> {
        let envelope = self.wrap(message);
        refuse(&self.cell, self.tx.low().try_send(envelope))
    }

    /// Sends a low-priority message of the actor's [`Keeper`](crate::crash::Keeper) without waiting.
    ///
    /// # Errors
    ///
    /// As [`try_send_low`](Self::try_send_low).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use lanemesh_runtime::{builder, crash::Keeper, testing::Sink};
    ///
    /// /// What became of each token.
    /// #[derive(Clone, Default)]
    /// struct Book(Arc<Mutex<Vec<(u32, &'static str)>>>);
    ///
    /// impl Keeper for Book {
    ///     fn begin(&mut self, token: u32) {
    ///         self.0.lock().unwrap().push((token, "begun"));
    ///     }
    ///     fn handled(&mut self, token: u32) {
    ///         self.0.lock().unwrap().push((token, "handled"));
    ///     }
    ///     fn failed(&mut self, token: u32) {
    ///         self.0.lock().unwrap().push((token, "failed"));
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let book = Book::default();
    /// let (mut handle, _child) = builder(Sink::<(), u64>::new).keeper(book.clone()).spawn();
    /// handle.try_send_low_kept(7, 1)?;
    /// handle.idle().await;
    /// assert_eq!(*book.0.lock().unwrap(), [(1, "begun"), (1, "handled")]);
    /// # Ok(()) }
    /// ```
    pub fn try_send_low_kept(
        &mut self,
        message: A::LowPriorityMsg,
        token: u32,
    ) -> Result<(), SendError<A::LowPriorityMsg>> {
        let envelope = kept(message, token);
        refuse(&self.cell, self.tx.low().try_send(envelope))
    }

    /// Sends a low-priority message that expires at `deadline`.
    ///
    /// # Errors
    ///
    /// As [`send_low`](Self::send_low); [`SendError::Expired`] when the deadline has passed, or
    /// passes while waiting for room.
    ///
    /// # Cancel safety
    ///
    /// As [`send_low`](Self::send_low).
    pub async fn send_low_by(
        &mut self,
        message: A::LowPriorityMsg,
        deadline: Instant,
    ) -> Result<Sent, SendError<A::LowPriorityMsg>> {
        let envelope = self.wrap_by(message, deadline)?;
        send_through!(self.tx.low(), &self.cell, self.policies.low, envelope)
    }

    /// Waits for room for a low-priority message, without deadlock detection.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the actor accepts no more messages.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn low_ready(&mut self) -> Result<(), SendError<()>> {
        poll_fn(|cx| self.poll_ready_low(cx)).await
    }

    pub(crate) fn poll_ready_low(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<()>>> {
        self.tx
            .low()
            .poll_reserve(cx)
            .map_err(|_| SendError::Closed(()))
    }

    /// Waits for room for `wanted` low-priority messages, or for an empty lane if that is less.
    /// Returns at once when the actor accepts no more messages: the next send fails. Without
    /// deadlock detection.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn low_room(&mut self, wanted: usize) {
        let wanted = wanted.min(self.tx.low().capacity());
        let cell = self.cell.clone();
        let has_room = |lane: &Sender<Low<A>>| {
            lane.is_closed() || lane.capacity() - lane.len().min(lane.capacity()) >= wanted
        };
        poll_fn(|cx| cell.poll_room(cx, || has_room(self.tx.low()))).await;
    }
}
