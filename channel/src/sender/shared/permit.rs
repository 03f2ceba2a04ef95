//! Room in a shared lane that is held before there is a message for it.

use std::{fmt, iter::FusedIterator, mem};

use super::SharedSender;
use crate::error::{SendError, TrySendError};

impl<T> SharedSender<T> {
    /// Waits for room in the lane, and holds it until the permit is used or dropped.
    ///
    /// # Errors
    ///
    /// [`SendError`] when the channel is closed, or closes while it waits.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but its place in the order of those who wait.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let (tx, mut rx) = lanemesh::channel(1);
    /// let tx = tx.shared();
    /// let permit = tx.reserve().await.unwrap();
    /// assert!(tx.try_send("the room is taken").is_err());
    /// permit.send("built only once there was room").unwrap();
    /// assert_eq!(rx.recv().await, Some("built only once there was room"));
    /// # }
    /// ```
    pub async fn reserve(&self) -> Result<SharedPermit<'_, T>, SendError<()>> {
        self.acquire(1).await?;
        Ok(SharedPermit::new(self))
    }

    /// Room in the lane, if there is any now.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
    pub fn try_reserve(&self) -> Result<SharedPermit<'_, T>, TrySendError<()>> {
        self.try_acquire(1)?;
        Ok(SharedPermit::new(self))
    }

    /// Waits for room for `count` messages at once, and holds it until the permits are used or dropped.
    ///
    /// # Errors
    ///
    /// [`SendError`] when the channel is closed, or closes while it waits, or when `count` is more than the
    /// [`capacity`](Self::capacity).
    ///
    /// # Cancel safety
    ///
    /// As [`reserve`](Self::reserve).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let (tx, mut rx) = lanemesh::channel(8);
    /// let tx = tx.shared();
    /// for (n, permit) in tx.reserve_many(3).await.unwrap().enumerate() {
    ///     permit.send(n).unwrap();
    /// }
    /// assert_eq!(rx.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    /// # }
    /// ```
    pub async fn reserve_many(&self, count: usize) -> Result<SharedPermits<'_, T>, SendError<()>> {
        if count > self.most() {
            return Err(SendError(()));
        }
        self.acquire(count).await?;
        Ok(SharedPermits::new(self, count))
    }

    /// Room for `count` messages, if there is as much now.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send); [`TrySendError::Full`] also when `count` is more than the
    /// [`capacity`](Self::capacity).
    pub fn try_reserve_many(&self, count: usize) -> Result<SharedPermits<'_, T>, TrySendError<()>> {
        if count > self.most() {
            return Err(self.refused());
        }
        self.try_acquire(count)?;
        Ok(SharedPermits::new(self, count))
    }

    /// Waits for room in the lane, and holds it in a permit that owns this sender.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Self::reserve); this sender is dropped then.
    ///
    /// # Cancel safety
    ///
    /// As [`reserve`](Self::reserve); this sender is dropped with the future.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let (tx, mut rx) = lanemesh::channel(1);
    /// let permit = tx.shared().reserve_owned().await.unwrap();
    /// let tx = tokio::spawn(async move { permit.send(1).unwrap() }).await.unwrap();
    /// assert_eq!(rx.recv().await, Some(1));
    /// # drop(tx);
    /// # }
    /// ```
    pub async fn reserve_owned(self) -> Result<SharedOwnedPermit<T>, SendError<()>> {
        self.acquire(1).await?;
        Ok(SharedOwnedPermit::new(self))
    }

    /// Room in the lane, if there is any now, in a permit that owns this sender.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send), with this sender.
    pub fn try_reserve_owned(self) -> Result<SharedOwnedPermit<T>, TrySendError<Self>> {
        match self.try_acquire(1) {
            Ok(()) => Ok(SharedOwnedPermit::new(self)),
            Err(error) => Err(error.map(|()| self)),
        }
    }
}

/// Room for one message in a shared lane; see [`SharedSender::reserve`].
///
/// Dropped, it gives the room back, to the one who has waited longest.
#[must_use = "a permit that is dropped sends nothing"]
pub struct SharedPermit<'a, T> {
    sender: &'a SharedSender<T>,
}

impl<'a, T> SharedPermit<'a, T> {
    /// A permit for a slot that was acquired.
    pub(super) fn new(sender: &'a SharedSender<T>) -> Self {
        Self { sender }
    }

    /// Sends a message into the room that was held for it.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message when the channel has been closed since.
    #[inline]
    pub fn send(self, message: T) -> Result<(), SendError<T>> {
        let sender = self.sender;
        // The slot goes with the message.
        mem::forget(self);
        sender.send_reserved(message)
    }
}

impl<T> Drop for SharedPermit<'_, T> {
    fn drop(&mut self) {
        self.sender.release(1);
    }
}

impl<T> fmt::Debug for SharedPermit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedPermit").finish_non_exhaustive()
    }
}

/// Room for several messages in a shared lane, taken out one by one; see [`SharedSender::reserve_many`].
///
/// Dropped, it gives back the room that was not taken out.
#[must_use = "permits that are dropped send nothing"]
pub struct SharedPermits<'a, T> {
    sender: &'a SharedSender<T>,
    left: usize,
}

impl<'a, T> SharedPermits<'a, T> {
    /// Permits for slots that were acquired.
    pub(super) fn new(sender: &'a SharedSender<T>, left: usize) -> Self {
        Self { sender, left }
    }
}

impl<'a, T> Iterator for SharedPermits<'a, T> {
    type Item = SharedPermit<'a, T>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(SharedPermit::new(self.sender))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for SharedPermits<'_, T> {}
impl<T> FusedIterator for SharedPermits<'_, T> {}

impl<T> Drop for SharedPermits<'_, T> {
    fn drop(&mut self) {
        if self.left > 0 {
            self.sender.release(self.left);
        }
    }
}

impl<T> fmt::Debug for SharedPermits<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedPermits")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// Room for one message in a shared lane, with the sender it is for; see [`SharedSender::reserve_owned`].
///
/// Dropped, it gives the room back, to the one who has waited longest, and drops the sender.
#[must_use = "a permit that is dropped sends nothing"]
pub struct SharedOwnedPermit<T> {
    /// Taken when the permit is used.
    sender: Option<SharedSender<T>>,
}

impl<T> SharedOwnedPermit<T> {
    /// A permit for a slot that was acquired.
    pub(super) fn new(sender: SharedSender<T>) -> Self {
        Self {
            sender: Some(sender),
        }
    }

    /// Sends a message into the room that was held for it, and returns the sender.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message when the channel has been closed since; the sender is dropped.
    pub fn send(mut self, message: T) -> Result<SharedSender<T>, SendError<T>> {
        let Some(sender) = self.sender.take() else {
            unreachable!("a permit has its sender until it is used")
        };
        sender.send_reserved(message)?;
        Ok(sender)
    }

    /// Gives the room back, and returns the sender.
    pub fn release(mut self) -> SharedSender<T> {
        let Some(sender) = self.sender.take() else {
            unreachable!("a permit has its sender until it is used")
        };
        sender.release(1);
        sender
    }

    /// Whether the sender of this permit sends to the same receiver as `sender`.
    pub fn same_channel_as_sender(&self, sender: &SharedSender<T>) -> bool {
        self.sender
            .as_ref()
            .is_some_and(|own| own.same_channel(sender))
    }
}

impl<T> Drop for SharedOwnedPermit<T> {
    fn drop(&mut self) {
        if let Some(sender) = &self.sender {
            sender.release(1);
        }
    }
}

impl<T> fmt::Debug for SharedOwnedPermit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedOwnedPermit").finish_non_exhaustive()
    }
}
