//! Sending to a mailbox: two lanes for one producer.

use std::fmt;

use super::{Overflow, Sent};
use crate::{
    error::{SendError, TrySendError},
    fan_in::handle::FanInRef,
    sender::{Sender, weak::WeakSender},
};

/// The sending side of a mailbox. Each clone is a producer with two lanes of its own.
///
/// A sender keeps the order of its messages within a class. There is no order between the classes,
/// nor between senders. The methods here are the most common; all that [`Sender`] has (permits,
/// timeouts, batches) is behind [`high`](Self::high) and [`low`](Self::low).
pub struct MailboxSender<High, Low> {
    pub(crate) high: Sender<High>,
    pub(crate) low: Sender<Low>,
    pub(super) overflow: Overflow,
}

impl<High, Low> MailboxSender<High, Low> {
    /// The first sender of both fan-ins, which have counted it already.
    #[inline(always)]
    pub(crate) fn first(high: FanInRef<High>, low: FanInRef<Low>, overflow: Overflow) -> Self {
        Self {
            high: Sender::first(high),
            low: Sender::first(low),
            overflow,
        }
    }

    /// For a mesh, whose lanes have a capacity each.
    pub(crate) fn assert_no_total(&self) {
        assert!(
            !self.high.is_bounded() && !self.low.is_bounded(),
            "the lanes of a mesh cannot have a total capacity"
        );
    }

    /// The sender of high-priority messages. A clone of it is a producer of its own.
    pub fn high(&mut self) -> &mut Sender<High> {
        &mut self.high
    }

    /// The sender of low-priority messages. A clone of it is a producer of its own.
    pub fn low(&mut self) -> &mut Sender<Low> {
        &mut self.low
    }

    /// Sends a high-priority message if the lane has room; see [`Sender::try_send`].
    ///
    /// # Errors
    ///
    /// As [`Sender::try_send`].
    #[inline]
    pub fn try_send_high(&mut self, message: High) -> Result<(), TrySendError<High>> {
        self.high.try_send(message)
    }

    /// Sends a high-priority message, waiting for room in the lane.
    ///
    /// # Errors
    ///
    /// As [`Sender::send`].
    ///
    /// # Cancel safety
    ///
    /// As [`Sender::send`]: if the future is dropped, the message was not sent and is dropped with
    /// it.
    pub async fn send_high(&mut self, message: High) -> Result<(), SendError<High>> {
        self.high.send(message).await
    }

    /// Sends a high-priority message, blocking the thread while the lane is full.
    ///
    /// # Errors
    ///
    /// As [`Sender::blocking_send`].
    pub fn blocking_send_high(&mut self, message: High) -> Result<(), SendError<High>> {
        self.high.blocking_send(message)
    }

    /// Sends a low-priority message if the lane has room, whatever [`Overflow`] says.
    ///
    /// # Errors
    ///
    /// As [`Sender::try_send`].
    #[inline]
    pub fn try_send_low(&mut self, message: Low) -> Result<(), TrySendError<Low>> {
        self.low.try_send(message)
    }

    /// Sends a low-priority message; if the lane is full, does what this sender's [`Overflow`]
    /// says.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Closed`] if the channel is closed, and [`TrySendError::Full`] if the lane is
    /// full under [`Overflow::Reject`], both with the message.
    ///
    /// # Cancel safety
    ///
    /// As [`Sender::send`]: if the future is dropped, the message was not sent and is dropped with
    /// it.
    pub async fn send_low(&mut self, message: Low) -> Result<Sent, TrySendError<Low>> {
        if self.overflow != Overflow::Wait {
            self.low.cooperate(1).await;
            return self.offer_low(message);
        }
        self.low.send(message).await?;
        Ok(Sent::Queued)
    }

    /// Sends a low-priority message, blocking the thread while the lane is full. Under
    /// [`Overflow::Reject`] and [`Overflow::Drop`] it does not wait.
    ///
    /// # Errors
    ///
    /// As [`send_low`](Self::send_low).
    pub fn blocking_send_low(&mut self, message: Low) -> Result<Sent, TrySendError<Low>> {
        if self.overflow != Overflow::Wait {
            return self.offer_low(message);
        }
        self.low.blocking_send(message)?;
        Ok(Sent::Queued)
    }

    /// Sends without waiting; if the lane is full, does what the policy says.
    fn offer_low(&mut self, message: Low) -> Result<Sent, TrySendError<Low>> {
        let sent = self.low.try_send(message);
        self.overflow.settle(sent, || self.low.count_drop())
    }

    /// Sets what this sender does when its low lane is full. Later clones inherit it.
    pub fn set_low_overflow(&mut self, overflow: Overflow) {
        self.overflow = overflow;
    }

    /// What this sender does when its low lane is full.
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

    /// Whether the receiver has closed the mailbox or was dropped.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.low.is_closed()
    }

    /// The number of this sender's messages in both classes that the receiver has not taken.
    pub fn len(&self) -> usize {
        self.high.len() + self.low.len()
    }

    /// Whether the receiver has taken all messages of this sender.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both send to the same receiver.
    pub fn same_channel(&self, other: &Self) -> bool {
        self.high.same_channel(&other.high)
    }

    /// The number of messages for which there is room in the high lane now; see
    /// [`Sender::remaining_capacity`].
    pub fn high_remaining_capacity(&self) -> usize {
        self.high.remaining_capacity()
    }

    /// The number of messages for which there is room in the low lane now; see
    /// [`Sender::remaining_capacity`].
    pub fn low_remaining_capacity(&self) -> usize {
        self.low.remaining_capacity()
    }

    /// The number of senders of low-priority messages to this mailbox, each of which is a producer;
    /// a snapshot.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = lanemesh::mailbox::<u8, u8>(2, 4);
    /// let clone = tx.clone();
    /// let weak = tx.downgrade();
    /// assert_eq!((tx.strong_count(), tx.weak_count()), (2, 1));
    /// assert_eq!((tx.high_remaining_capacity(), tx.low_remaining_capacity()), (2, 4));
    /// drop((tx, clone));
    /// assert_eq!((weak.strong_count(), rx.weak_sender_count()), (0, 1));
    /// ```
    pub fn strong_count(&self) -> usize {
        self.low.strong_count()
    }

    /// The number of weak senders of low-priority messages to this mailbox; a snapshot.
    pub fn weak_count(&self) -> usize {
        self.low.weak_count()
    }

    /// A handle that does not keep the mailbox open.
    pub fn downgrade(&self) -> WeakMailboxSender<High, Low> {
        WeakMailboxSender {
            high: self.high.downgrade(),
            low: self.low.downgrade(),
            overflow: self.overflow,
        }
    }
}

/// Makes another producer, with two lanes of its own.
impl<High, Low> Clone for MailboxSender<High, Low> {
    fn clone(&self) -> Self {
        Self {
            high: self.high.clone(),
            low: self.low.clone(),
            overflow: self.overflow,
        }
    }
}

impl<High, Low> fmt::Debug for MailboxSender<High, Low> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailboxSender")
            .field("high", &self.high)
            .field("low", &self.low)
            .field("overflow", &self.overflow)
            .finish()
    }
}

/// A handle to a mailbox that does not keep it open.
pub struct WeakMailboxSender<High, Low> {
    pub(super) high: WeakSender<High>,
    pub(super) low: WeakSender<Low>,
    pub(super) overflow: Overflow,
}

impl<High, Low> WeakMailboxSender<High, Low> {
    /// Makes a new producer; `None` if the last sender of either class was dropped.
    pub fn upgrade(&self) -> Option<MailboxSender<High, Low>> {
        Some(MailboxSender {
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
        self.high.same_channel(&other.high)
    }

    /// The number of senders of low-priority messages to this mailbox; a snapshot.
    pub fn strong_count(&self) -> usize {
        self.low.strong_count()
    }

    /// The number of weak senders of low-priority messages to this mailbox; a snapshot.
    pub fn weak_count(&self) -> usize {
        self.low.weak_count()
    }
}

impl<High, Low> Clone for WeakMailboxSender<High, Low> {
    fn clone(&self) -> Self {
        Self {
            high: self.high.clone(),
            low: self.low.clone(),
            overflow: self.overflow,
        }
    }
}

impl<High, Low> fmt::Debug for WeakMailboxSender<High, Low> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakMailboxSender")
            .field("low", &self.low)
            .finish_non_exhaustive()
    }
}
