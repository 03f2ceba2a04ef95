//! Room that is held for several messages at once.

use std::fmt;

use super::Permit;
use crate::{
    error::{SendError, SendManyError, TrySendError},
    sender::Sender,
};

impl<T> Sender<T> {
    /// Waits for room for `count` messages in the lane, and holds it until the permits are used or
    /// dropped.
    ///
    /// If the lane has less room than that and more than none, the wait may last until the receiver
    /// has taken all messages of this sender and then looks for another one: a receiver that takes
    /// a few messages and stops leaves it waiting. With a
    /// [total capacity](crate::Builder::total_capacity), it has one place in the queue, holds no
    /// slot while it waits, and gets all slots at once; senders behind it wait so long.
    ///
    /// # Errors
    ///
    /// [`SendError`] when the channel is closed, or closes while it waits.
    ///
    /// # Panics
    ///
    /// Panics if `count` is more than the [capacity](Sender::capacity), because there would never
    /// be room.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no message. With a total capacity, the place in the queue is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let (mut tx, mut rx) = lanemesh::channel(8);
    /// let mut permits = tx.reserve_many(3).await.unwrap();
    /// let mut n = 0;
    /// while let Some(permit) = permits.next_permit() {
    ///     permit.send(n).unwrap();
    ///     n += 1;
    /// }
    /// drop(permits);
    /// // With one wake-up for all:
    /// let permits = tx.reserve_many(3).await.unwrap();
    /// assert_eq!(permits.send_many(3..6), Ok(3));
    /// assert_eq!(rx.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    /// # }
    /// ```
    pub async fn reserve_many(&mut self, count: usize) -> Result<Permits<'_, T>, SendError<()>> {
        let capacity = self.capacity();
        assert!(
            count <= capacity,
            "room for {count} messages can never be reserved with a capacity of {capacity}"
        );
        self.cooperate(count.max(1)).await;
        if self.is_closed() {
            return Err(SendError(()));
        }
        if count > 0 {
            self.wait_for_room(count).await?;
        }
        Ok(Permits {
            sender: self,
            left: count,
        })
    }

    /// Reserves room for `count` messages in the lane, if there is enough now.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`], also if `count` is more than the [capacity](Sender::capacity), or
    /// [`TrySendError::Closed`].
    pub fn try_reserve_many(&mut self, count: usize) -> Result<Permits<'_, T>, TrySendError<()>> {
        if self.is_closed() {
            return Err(TrySendError::Closed(()));
        }
        if !self.has_room_for(count) {
            // With a total capacity, a part of what is wanted may be in hand.
            self.give_back();
            return Err(TrySendError::Full(()));
        }
        Ok(Permits {
            sender: self,
            left: count,
        })
    }
}

/// Reserved room for several messages in a sender's lane; see [`Sender::reserve_many`]. What is not
/// used is released when it is dropped.
///
/// It is not an [`Iterator`], because each permit borrows the sender: there is one at a time.
#[must_use = "permits that are dropped send nothing"]
pub struct Permits<'a, T> {
    sender: &'a mut Sender<T>,
    /// Permits that were not taken yet.
    left: usize,
}

impl<T> Permits<'_, T> {
    /// The next permit; `None` if all were taken. A permit that is dropped counts as taken.
    pub fn next_permit(&mut self) -> Option<Permit<'_, T>> {
        self.left = self.left.checked_sub(1)?;
        Some(Permit {
            sender: self.sender,
            keep: u32::try_from(self.left).unwrap_or(u32::MAX),
        })
    }

    /// Sends the messages of an iterator into the reserved room, with one publication per up to 64,
    /// and returns how many: at most as many as there are permits left. Releases the rest.
    ///
    /// # Errors
    ///
    /// [`SendManyError`] if the channel was closed in the meantime, with the messages that were
    /// taken from the iterator but not accepted.
    pub fn send_many(
        self,
        messages: impl IntoIterator<Item = T>,
    ) -> Result<usize, SendManyError<T>> {
        self.sender
            .try_send_many(messages.into_iter().take(self.left))
    }

    /// The number of permits that were not taken yet.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether all permits were taken.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }
}

/// Gives the room back, if it is one that all senders share.
impl<T> Drop for Permits<'_, T> {
    fn drop(&mut self) {
        self.sender.give_back();
    }
}

impl<T> fmt::Debug for Permits<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permits")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
