//! A sender to both classes of a mailbox for `&self`, whose clones share one lane of each.

use std::fmt;

use super::{Overflow, Sent, sender::MailboxSender};
use crate::{
    error::{SendError, TrySendError},
    sender::shared::{SharedSender, WeakSharedSender},
};

/// A [`SharedSender`] of each class: all methods take `&self`, and clones share the two lanes.
///
/// One class may have room when the other has none. The methods here are those that are used most; all that
/// [`SharedSender`] has (permits, timeouts, batches) is behind [`high`](Self::high) and [`low`](Self::low), for each class.
///
/// # Examples
///
/// ```
/// use lanemesh::{Message, mailbox};
///
/// let (tx, mut rx) = mailbox::<&str, u64>(16, 1024);
/// let state = tx.shared();
/// state.clone().try_send_low(1).unwrap();
/// state.try_send_high("stop").unwrap();
/// assert_eq!(rx.try_recv(), Ok(Message::High("stop")));
/// ```
pub struct SharedMailboxSender<High, Low> {
    high: SharedSender<High>,
    low: SharedSender<Low>,
    overflow: Overflow,
}

impl<High, Low> MailboxSender<High, Low> {
    /// A sender that is cloned and shared through `&self`, whose clones share one lane of each class; see
    /// [`Sender::shared`](crate::Sender::shared).
    pub fn shared(self) -> SharedMailboxSender<High, Low> {
        SharedMailboxSender {
            high: self.high.shared(),
            low: self.low.shared(),
            overflow: self.overflow,
        }
    }
}

impl<High, Low> SharedMailboxSender<High, Low> {
    /// The sender of high-priority messages.
    pub fn high(&self) -> &SharedSender<High> {
        &self.high
    }

    /// The sender of low-priority messages.
    pub fn low(&self) -> &SharedSender<Low> {
        &self.low
    }

    /// Sends a high-priority message if its lane has room, and nobody waits for it.
    ///
    /// # Errors
    ///
    /// As [`SharedSender::try_send`].
    pub fn try_send_high(&self, message: High) -> Result<(), TrySendError<High>> {
        self.high.try_send(message)
    }

    /// Sends a high-priority message, waiting for room.
    ///
    /// # Errors
    ///
    /// As [`SharedSender::send`].
    ///
    /// # Cancel safety
    ///
    /// As [`SharedSender::send`].
    pub async fn send_high(&self, message: High) -> Result<(), SendError<High>> {
        self.high.send(message).await
    }

    /// Sends a high-priority message, blocking the thread while its lane is full.
    ///
    /// # Errors
    ///
    /// As [`SharedSender::blocking_send`].
    pub fn blocking_send_high(&self, message: High) -> Result<(), SendError<High>> {
        self.high.blocking_send(message)
    }

    /// Sends a low-priority message if its lane has room and nobody waits for it, whatever [`Overflow`] says.
    ///
    /// # Errors
    ///
    /// As [`SharedSender::try_send`].
    pub fn try_send_low(&self, message: Low) -> Result<(), TrySendError<Low>> {
        self.low.try_send(message)
    }

    /// Sends a low-priority message; when the lane is full, does what the [`Overflow`] of this sender says.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Closed`] when the mailbox is closed, and [`TrySendError::Full`] when the lane is full under
    /// [`Overflow::Reject`], both with the message.
    ///
    /// # Cancel safety
    ///
    /// As [`SharedSender::send`].
    pub async fn send_low(&self, message: Low) -> Result<Sent, TrySendError<Low>> {
        if self.overflow != Overflow::Wait {
            self.low.cooperate().await;
            return self.offer_low(message);
        }
        self.low.send(message).await?;
        Ok(Sent::Queued)
    }

    /// Sends a low-priority message, blocking the thread while its lane is full; under [`Overflow::Reject`] and
    /// [`Overflow::Drop`] it does not wait.
    ///
    /// # Errors
    ///
    /// As [`send_low`](Self::send_low).
    pub fn blocking_send_low(&self, message: Low) -> Result<Sent, TrySendError<Low>> {
        if self.overflow != Overflow::Wait {
            return self.offer_low(message);
        }
        self.low.blocking_send(message)?;
        Ok(Sent::Queued)
    }

    /// Sends without waiting, under a policy that says what to do instead.
    fn offer_low(&self, message: Low) -> Result<Sent, TrySendError<Low>> {
        let sent = self.low.try_send(message);
        self.overflow.settle(sent, || self.low.count_drop())
    }

    /// Sets what this sender does when the low lane is full. Clones made later inherit it.
    pub fn set_low_overflow(&mut self, overflow: Overflow) {
        self.overflow = overflow;
    }

    /// What this sender does when the low lane is full.
    pub fn low_overflow(&self) -> Overflow {
        self.overflow
    }

    /// Waits until the receiver closes the mailbox or is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn closed(&self) {
        self.low.closed().await;
    }

    /// Whether the receiver has closed the mailbox or is gone.
    pub fn is_closed(&self) -> bool {
        self.low.is_closed()
    }

    /// Messages of this sender and its clones, in both classes, that the receiver has not taken.
    pub fn len(&self) -> usize {
        self.high.len() + self.low.len()
    }

    /// Whether the receiver has taken all messages of this sender and its clones.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both send to the same receiver.
    pub fn same_channel(&self, other: &Self) -> bool {
        self.low.same_channel(&other.low)
    }

    /// The number of messages for which there is room in the high lane now; see
    /// [`SharedSender::remaining_capacity`].
    pub fn high_remaining_capacity(&self) -> usize {
        self.high.remaining_capacity()
    }

    /// The number of messages for which there is room in the low lane now; see
    /// [`SharedSender::remaining_capacity`].
    pub fn low_remaining_capacity(&self) -> usize {
        self.low.remaining_capacity()
    }

    /// Senders that share the low lane: this one and its clones, if none was cloned from [`low`](Self::low) alone.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, _rx) = lanemesh::mailbox::<u8, u8>(2, 4);
    /// let tx = tx.shared();
    /// let clone = tx.clone();
    /// let weak = tx.downgrade();
    /// assert_eq!((tx.strong_count(), tx.weak_count()), (2, 1));
    /// assert_eq!((tx.high_remaining_capacity(), tx.low_remaining_capacity()), (2, 4));
    /// drop((tx, clone));
    /// assert_eq!((weak.strong_count(), weak.weak_count()), (0, 1));
    /// ```
    pub fn strong_count(&self) -> usize {
        self.low.strong_count()
    }

    /// Weak handles to the low lane.
    pub fn weak_count(&self) -> usize {
        self.low.weak_count()
    }

    /// A handle that keeps neither the mailbox open nor the lanes.
    pub fn downgrade(&self) -> WeakSharedMailboxSender<High, Low> {
        WeakSharedMailboxSender {
            high: self.high.downgrade(),
            low: self.low.downgrade(),
            overflow: self.overflow,
        }
    }

    /// A new producer of the same mailbox, for sends through `&mut self`.
    pub fn sender(&self) -> MailboxSender<High, Low> {
        MailboxSender {
            high: self.high.sender(),
            low: self.low.sender(),
            overflow: self.overflow,
        }
    }
}

/// The same producer: the clone shares both lanes.
impl<High, Low> Clone for SharedMailboxSender<High, Low> {
    fn clone(&self) -> Self {
        Self {
            high: self.high.clone(),
            low: self.low.clone(),
            overflow: self.overflow,
        }
    }
}

impl<High, Low> fmt::Debug for SharedMailboxSender<High, Low> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMailboxSender")
            .field("high", &self.high)
            .field("low", &self.low)
            .field("overflow", &self.overflow)
            .finish()
    }
}

/// A handle to a [`SharedMailboxSender`] that does not keep the mailbox open.
pub struct WeakSharedMailboxSender<High, Low> {
    high: WeakSharedSender<High>,
    low: WeakSharedSender<Low>,
    overflow: Overflow,
}

impl<High, Low> WeakSharedMailboxSender<High, Low> {
    /// A sender that shares the lanes; `None` when the last of those that shared them has been dropped.
    pub fn upgrade(&self) -> Option<SharedMailboxSender<High, Low>> {
        Some(SharedMailboxSender {
            high: self.high.upgrade()?,
            low: self.low.upgrade()?,
            overflow: self.overflow,
        })
    }

    /// Waits until the receiver closes the mailbox or is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn closed(&self) {
        self.low.closed().await;
    }

    /// Whether both lead to the same receiver.
    pub fn same_channel(&self, other: &Self) -> bool {
        self.low.same_channel(&other.low)
    }

    /// Senders that share the low lane; a snapshot.
    pub fn strong_count(&self) -> usize {
        self.low.strong_count()
    }

    /// Weak handles to the low lane; a snapshot.
    pub fn weak_count(&self) -> usize {
        self.low.weak_count()
    }
}

impl<High, Low> Clone for WeakSharedMailboxSender<High, Low> {
    fn clone(&self) -> Self {
        Self {
            high: self.high.clone(),
            low: self.low.clone(),
            overflow: self.overflow,
        }
    }
}

impl<High, Low> fmt::Debug for WeakSharedMailboxSender<High, Low> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakSharedMailboxSender")
            .field("low", &self.low)
            .finish_non_exhaustive()
    }
}
