//! Room that is held for one message before the message is there.

pub(crate) mod many;
pub(crate) mod owned;

use std::fmt;

use super::Sender;
use crate::error::{SendError, TrySendError};

impl<T> Sender<T> {
    /// Waits for room in the lane, and holds it until the permit is used or dropped.
    ///
    /// # Errors
    ///
    /// [`SendError`] when the channel is closed, or closes while it waits.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a lane has one sender, so there is no place in a queue to
    /// lose. With a [total capacity](crate::Builder::total_capacity) there is one, and it is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let (mut tx, mut rx) = lanemesh::channel(1);
    /// let permit = tx.reserve().await.unwrap();
    /// permit.send("built only once there was room").unwrap();
    /// assert_eq!(rx.recv().await, Some("built only once there was room"));
    /// # }
    /// ```
    pub async fn reserve(&mut self) -> Result<Permit<'_, T>, SendError<()>> {
        self.cooperate(1).await;
        self.wait_for_room(1).await?;
        Ok(Permit {
            sender: self,
            keep: 0,
        })
    }

    /// Reserves room in the lane, if there is any now.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] or [`TrySendError::Closed`].
    pub fn try_reserve(&mut self) -> Result<Permit<'_, T>, TrySendError<()>> {
        if self.is_closed() {
            return Err(TrySendError::Closed(()));
        }
        if !self.has_room() {
            return Err(TrySendError::Full(()));
        }
        Ok(Permit {
            sender: self,
            keep: 0,
        })
    }
}

/// Reserved room for one message in a sender's lane; see [`Sender::reserve`].
#[must_use = "a permit that is dropped sends nothing"]
pub struct Permit<'a, T> {
    sender: &'a mut Sender<T>,
    /// Slots in the sender's hands that belong to other permits.
    keep: u32,
}

impl<T> Permit<'_, T> {
    /// Sends a message into the reserved room.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message if the channel was closed in the meantime.
    #[inline]
    pub fn send(self, message: T) -> Result<(), SendError<T>> {
        self.sender
            .try_send(message)
            .map_err(|error| SendError(error.into_inner()))
    }
}

/// Gives the room back, if it is one that all senders share.
impl<T> Drop for Permit<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.sender.is_bounded() {
            self.sender.give_back_above(self.keep);
        }
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
