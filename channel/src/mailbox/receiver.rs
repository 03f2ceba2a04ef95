//! Receiving from a mailbox, high priority first.

use std::{
    fmt,
    num::NonZero,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{
    Message, Overflow,
    class_receiver::ClassReceiver,
    classes::{Classes, LowShare},
    sender::WeakMailboxSender,
};
use crate::{
    error::{RecvTimeoutError, TryRecvError},
    fan_in::handle::FanInRef,
    receiver::{
        budget::{CoopBudget, Source},
        inbox::Inbox,
        intake::Intake,
        wait::{Sleeper, Wait},
    },
    sender::weak::WeakSender,
    stats::MailboxStats,
    sync::wake_all::WakeAll,
};

/// The receiving side of a mailbox.
///
/// If a high-priority send has returned before a receive begins, that receive returns its message.
/// A batch looks for high-priority messages again at least every
/// [`HIGH_LOOK_INTERVAL`](crate::HIGH_LOOK_INTERVAL) low-priority ones. The number of low-priority
/// lanes that are ready makes no difference. So as long as there always is a high-priority message, no other is
/// received, unless the low class was given a [share](crate::MailboxBuilder::low_share).
///
/// [`high`](Self::high) and [`low`](Self::low) receive from one class alone. Otherwise it behaves
/// like [`Receiver`](crate::Receiver); both classes count against one budget.
pub struct MailboxReceiver<High, Low> {
    classes: Classes<High, Low>,
    budget: CoopBudget,
    /// Given to senders made by `weak_sender`.
    overflow: Overflow,
    /// The stream has returned `None`.
    #[cfg(feature = "stream")]
    ended: bool,
}

impl<High, Low> MailboxReceiver<High, Low> {
    #[inline(always)]
    pub(crate) fn new(
        high: FanInRef<High>,
        low: FanInRef<Low>,
        budget: Option<usize>,
        low_share: Option<NonZero<u32>>,
        overflow: Overflow,
    ) -> Self {
        let budget = CoopBudget::new(budget);
        let classes = Classes {
            high: Inbox::new(high),
            low: Inbox::new(low),
            share: LowShare::new(low_share),
        };
        Self {
            classes,
            budget,
            overflow,
            #[cfg(feature = "stream")]
            ended: false,
        }
    }

    #[inline(always)]
    pub(crate) fn intake(&mut self) -> Intake<'_, Classes<High, Low>> {
        Intake::new(&mut self.classes, &mut self.budget)
    }

    /// Takes a message if there is one, high priority first.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if there is none now, and [`TryRecvError::Closed`] if the mailbox is
    /// closed or all senders were dropped, and all messages have been received.
    #[inline]
    pub fn try_recv(&mut self) -> Result<Message<High, Low>, TryRecvError> {
        self.intake().try_recv()
    }

    /// Appends up to `limit` messages to `into`, and returns how many.
    ///
    /// High-priority messages go first, and are looked for again at least every
    /// [`HIGH_LOOK_INTERVAL`](crate::HIGH_LOOK_INTERVAL) low-priority ones.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv), if there is none and `limit` is not zero.
    pub fn try_recv_many(
        &mut self,
        into: &mut Vec<Message<High, Low>>,
        limit: usize,
    ) -> Result<usize, TryRecvError> {
        self.intake().try_recv_many(into, limit)
    }

    /// Waits for a message. `None` if the mailbox is closed or all senders were dropped, and all
    /// messages have been received.
    ///
    /// One poll may return `Pending` although there is a message, when the
    /// [budget](crate::Builder::budget) is spent; [`try_recv`](Self::try_recv) has none.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a message is taken only when the future is ready. It ends the wait: the
    /// waker is released, and is not woken any more. To wait without a future, use [`poll_recv`](Self::poll_recv).
    #[inline]
    pub async fn recv(&mut self) -> Option<Message<High, Low>> {
        Wait::new(self, |this, cx| this.poll_recv(cx)).await
    }

    /// Waits for messages, and takes up to `limit` of those that are there as
    /// [`try_recv_many`](Self::try_recv_many) does. Returns how many: zero if the mailbox is closed
    /// and drained, or if `limit` is zero.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn recv_many(&mut self, into: &mut Vec<Message<High, Low>>, limit: usize) -> usize {
        Wait::new(self, |this, cx| this.poll_recv_many(cx, into, limit)).await
    }

    /// Polls for a message. After `Pending`, the waker of the last call is woken when there is one,
    /// or when the mailbox closes; at once if only the [budget](crate::Builder::budget) is spent.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message<High, Low>>> {
        self.intake().poll_recv(cx)
    }

    /// Polls for up to `limit` messages, as [`recv_many`](Self::recv_many) does.
    pub fn poll_recv_many(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<Message<High, Low>>,
        limit: usize,
    ) -> Poll<usize> {
        self.intake().poll_recv_many(cx, into, limit)
    }

    /// Waits until there is a message, and leaves it in the mailbox: `true`; or until the mailbox
    /// is closed and drained: `false`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn readable(&mut self) -> bool {
        Wait::new(self, |this, cx| this.poll_readable(cx)).await
    }

    /// Polls as [`readable`](Self::readable) does.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.intake().poll_readable(cx)
    }

    /// Receives from the high class alone.
    #[inline]
    pub fn high(&mut self) -> ClassReceiver<'_, High> {
        ClassReceiver::new(&mut self.classes.high, &mut self.budget)
    }

    /// Receives from the low class alone, whatever waits in the high class.
    #[inline]
    pub fn low(&mut self) -> ClassReceiver<'_, Low> {
        ClassReceiver::new(&mut self.classes.low, &mut self.budget)
    }

    /// Whether there is a high-priority message; a snapshot.
    pub fn has_high(&self) -> bool {
        self.classes.high.may_have_next() && self.classes.high.len() > 0
    }

    /// Waits for a message, blocking the thread. `None` if the mailbox is closed or all senders
    /// were dropped, and all messages have been received.
    pub fn blocking_recv(&mut self) -> Option<Message<High, Low>> {
        self.intake().recv_until(None).ok()
    }

    /// Waits for a message, blocking the thread for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`] if no message came in time, and [`RecvTimeoutError::Closed`]
    /// if the mailbox is closed and drained.
    pub fn recv_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<Message<High, Low>, RecvTimeoutError> {
        self.intake().recv_timeout(timeout)
    }

    /// Waits for a message, blocking the thread until `deadline` at the latest.
    ///
    /// If the deadline has passed, it still returns a message that is there.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Self::recv_timeout).
    pub fn recv_deadline(
        &mut self,
        deadline: Instant,
    ) -> Result<Message<High, Low>, RecvTimeoutError> {
        self.intake().recv_until(Some(deadline))
    }

    /// Waits for messages, blocking the thread, and takes up to `limit` of those that are there as
    /// [`try_recv_many`](Self::try_recv_many) does. Returns how many: zero if the mailbox is closed
    /// and drained, or if `limit` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh::Message;
    ///
    /// let (mut tx, mut rx) = lanemesh::mailbox::<&str, u64>(1, 1);
    /// tx.try_send_low(1).unwrap();
    /// tx.try_send_high("stop").unwrap();
    /// let mut batch = Vec::new();
    /// assert_eq!(rx.blocking_recv_many(&mut batch, 8), 2);
    /// assert_eq!(batch, [Message::High("stop"), Message::Low(1)]);
    /// ```
    pub fn blocking_recv_many(
        &mut self,
        into: &mut Vec<Message<High, Low>>,
        limit: usize,
    ) -> usize {
        self.intake().blocking_recv_many(into, limit)
    }

    /// Closes the mailbox: every later send fails and returns its message. Messages accepted before
    /// can still be received; then `recv` returns `None`.
    pub fn close(&mut self) {
        let mut all = WakeAll::default();
        self.classes.high.close_with(&mut all);
        self.classes.low.close_with(&mut all);
        all.done();
    }

    /// Whether the mailbox is closed to new messages: by [`close`](Self::close), or because all
    /// senders were dropped. There may still be messages in it.
    pub fn is_closed(&self) -> bool {
        self.classes.high.is_closed() && self.classes.low.is_closed()
    }

    /// Whether there is no message in any lane; a snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of messages in all lanes; a snapshot. Visits each lane that has messages.
    pub fn len(&self) -> usize {
        self.classes.high.len() + self.classes.low.len()
    }

    /// The number of senders of low-priority messages, each of which is a producer. Weak senders
    /// are not counted.
    pub fn sender_count(&self) -> usize {
        self.classes.low.fan_in().senders()
    }

    /// The number of weak senders of low-priority messages; a snapshot.
    pub fn weak_sender_count(&self) -> usize {
        self.classes.low.fan_in().weak_senders()
    }

    /// A handle that makes senders as long as at least one exists, and does not keep the mailbox
    /// open.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = lanemesh::mailbox::<&str, u64>(1, 1);
    /// let weak = rx.weak_sender();
    /// assert!(weak.upgrade().is_some());
    /// drop(tx);
    /// assert!(weak.upgrade().is_none());
    /// ```
    pub fn weak_sender(&self) -> WeakMailboxSender<High, Low> {
        WeakMailboxSender {
            high: WeakSender::new(self.classes.high.fan_in().clone()),
            low: WeakSender::new(self.classes.low.fan_in().clone()),
            overflow: self.overflow,
        }
    }

    /// A copy of the statistics of both classes.
    pub fn stats(&self) -> MailboxStats {
        MailboxStats {
            high: self.classes.high.stats(),
            low: self.classes.low.stats(),
        }
    }
}

impl<High, Low> Sleeper for MailboxReceiver<High, Low> {
    fn stop_sleeping(&mut self) {
        self.classes.stop_sleeping();
    }
}

#[cfg(feature = "stream")]
impl<High, Low> futures_core::Stream for MailboxReceiver<High, Low> {
    type Item = Message<High, Low>;

    fn poll_next(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let receiver = self.get_mut();
        let polled = receiver.poll_recv(cx);
        receiver.ended |= matches!(polled, Poll::Ready(None));
        polled
    }
}

/// It has terminated once the stream has returned `None`; other ways to receive do not count.
#[cfg(feature = "stream")]
impl<High, Low> futures_core::FusedStream for MailboxReceiver<High, Low> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

/// Nothing in a receiver is pinned.
impl<High, Low> Unpin for MailboxReceiver<High, Low> {}

impl<High, Low> fmt::Debug for MailboxReceiver<High, Low> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailboxReceiver")
            .field("high", &self.classes.high)
            .field("low", &self.classes.low)
            .finish_non_exhaustive()
    }
}
