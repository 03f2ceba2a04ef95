//! Handles that do not keep a channel open, and the future that waits for its close.

use std::fmt;

use super::Sender;
use crate::fan_in::handle::FanInRef;

impl<T> Sender<T> {
    /// A handle that does not keep the channel open.
    pub fn downgrade(&self) -> WeakSender<T> {
        WeakSender::new(self.fan_in.clone())
    }

    /// Waits until the receiver closes the channel or is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn closed(&self) {
        self.fan_in.closed().await;
    }

    /// The number of senders of this channel, each of which is a producer; a snapshot.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = lanemesh::channel::<u8>(1);
    /// let clone = tx.clone();
    /// let weak = tx.downgrade();
    /// assert_eq!((tx.strong_count(), tx.weak_count()), (2, 1));
    /// drop((tx, clone));
    /// assert_eq!((weak.strong_count(), rx.weak_sender_count()), (0, 1));
    /// ```
    pub fn strong_count(&self) -> usize {
        self.fan_in.senders()
    }

    /// The number of weak senders of this channel; a snapshot.
    pub fn weak_count(&self) -> usize {
        self.fan_in.weak_senders()
    }
}

/// A handle to a channel that does not keep it open.
pub struct WeakSender<T> {
    fan_in: FanInRef<T>,
}

impl<T> WeakSender<T> {
    pub(crate) fn new(fan_in: FanInRef<T>) -> Self {
        fan_in.add_weak_sender();
        Self { fan_in }
    }

    /// Makes a new producer; `None` if the last sender was dropped.
    pub fn upgrade(&self) -> Option<Sender<T>> {
        self.fan_in
            .try_add_sender()
            .then(|| Sender::first(self.fan_in.clone()))
    }

    /// Waits until the receiver closes the channel or is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn closed(&self) {
        self.fan_in.closed().await;
    }

    /// Whether both lead to the same receiver.
    pub fn same_channel(&self, other: &Self) -> bool {
        self.fan_in.ptr_eq(&other.fan_in)
    }

    /// The number of senders of this channel, each of which is a producer; a snapshot.
    pub fn strong_count(&self) -> usize {
        self.fan_in.senders()
    }

    /// The number of weak senders of this channel; a snapshot.
    pub fn weak_count(&self) -> usize {
        self.fan_in.weak_senders()
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> Self {
        Self::new(self.fan_in.clone())
    }
}

impl<T> Drop for WeakSender<T> {
    fn drop(&mut self) {
        self.fan_in.remove_weak_sender();
    }
}

impl<T> fmt::Debug for WeakSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakSender")
            .field("fan_in", &self.fan_in)
            .finish()
    }
}
