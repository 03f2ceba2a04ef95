//! Reserved room together with the sender that it belongs to.

use std::fmt;

use crate::{
    error::{SendError, TrySendError},
    sender::Sender,
};

impl<T> Sender<T> {
    /// Waits for room in the lane as [`reserve`](Sender::reserve) does, and moves the sender into
    /// the permit, which can be stored or sent to another task. To keep a sender, reserve with a
    /// clone.
    ///
    /// # Errors
    ///
    /// [`SendError`] when the channel is closed, or closes while it waits. The sender is dropped.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the sender is dropped with it, and with a
    /// [total capacity](crate::Builder::total_capacity) its place in the queue. No message that was
    /// sent before is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let (tx, mut rx) = lanemesh::channel(1);
    /// let permit = tx.reserve_owned().await.unwrap();
    /// let task = tokio::spawn(async move { permit.send("from another task").unwrap() });
    /// assert_eq!(rx.recv().await, Some("from another task"));
    /// let tx = task.await.unwrap();
    /// assert!(tx.is_empty());
    /// # }
    /// ```
    pub async fn reserve_owned(mut self) -> Result<OwnedPermit<T>, SendError<()>> {
        self.cooperate(1).await;
        self.wait_for_room(1).await?;
        Ok(OwnedPermit { sender: self })
    }

    /// Reserves room in the lane, if there is any now, and moves the sender into the permit.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] or [`TrySendError::Closed`], with the sender.
    pub fn try_reserve_owned(mut self) -> Result<OwnedPermit<T>, TrySendError<Self>> {
        if self.is_closed() {
            return Err(TrySendError::Closed(self));
        }
        if !self.has_room() {
            return Err(TrySendError::Full(self));
        }
        Ok(OwnedPermit { sender: self })
    }
}

/// Reserved room for one message, with the sender that it belongs to; see
/// [`Sender::reserve_owned`].
///
/// Dropping it drops the sender and releases the room.
#[must_use = "a permit that is dropped sends nothing"]
pub struct OwnedPermit<T> {
    sender: Sender<T>,
}

impl<T> OwnedPermit<T> {
    /// Sends a message into the reserved room, and returns the sender.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message if the channel was closed in the meantime. The sender, which
    /// can send nothing any more, is dropped.
    pub fn send(mut self, message: T) -> Result<Sender<T>, SendError<T>> {
        match self.sender.try_send(message) {
            Ok(()) => Ok(self.release()),
            Err(error) => Err(SendError(error.into_inner())),
        }
    }

    /// Releases the room without sending, and returns the sender.
    pub fn release(mut self) -> Sender<T> {
        self.sender.give_back();
        self.sender
    }
}

impl<T> fmt::Debug for OwnedPermit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPermit").finish_non_exhaustive()
    }
}
