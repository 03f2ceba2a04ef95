//! Receiving from a channel of one class.

pub(crate) mod budget;
pub(crate) mod inbox;
pub(crate) mod intake;
pub(crate) mod wait;

use std::{
    fmt,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use self::{
    budget::CoopBudget,
    inbox::Inbox,
    intake::Intake,
    wait::{Sleeper, Wait},
};
use crate::{
    error::{RecvTimeoutError, TryRecvError},
    fan_in::handle::FanInRef,
    sender::{Sender, weak::WeakSender},
    stats::Stats,
};

/// The receiving side of a channel.
///
/// It visits the lanes that have messages in turn; idle lanes cost nothing. The async methods
/// return at most a [budget](crate::Builder::budget) of messages without a pause, then yield to the
/// executor once, so that a channel that is never empty does not keep other tasks from running. A
/// batch counts with all of its messages, but is not cut short. The blocking methods spin for a
/// moment before they park the thread, and must not be called in async code.
///
/// Dropping the receiver closes the channel and drops all messages in it.
pub struct Receiver<T> {
    inbox: Inbox<T>,
    budget: CoopBudget,
    /// The stream has returned `None`.
    #[cfg(feature = "stream")]
    ended: bool,
}

impl<T> Receiver<T> {
    #[inline]
    pub(crate) fn new(fan_in: FanInRef<T>, budget: Option<usize>) -> Self {
        Self {
            inbox: Inbox::new(fan_in),
            budget: CoopBudget::new(budget),
            #[cfg(feature = "stream")]
            ended: false,
        }
    }

    /// Takes a message if there is one.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if there is none now, and [`TryRecvError::Closed`] if the channel is
    /// closed or all senders were dropped, and all messages have been received.
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.intake().try_recv()
    }

    /// Appends up to `limit` messages to `into`, and returns how many.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv), if there is none and `limit` is not zero.
    pub fn try_recv_many(
        &mut self,
        into: &mut Vec<T>,
        limit: usize,
    ) -> Result<usize, TryRecvError> {
        self.intake().try_recv_many(into, limit)
    }

    /// Waits for a message. `None` if the channel is closed or all senders were dropped, and all
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
    pub async fn recv(&mut self) -> Option<T> {
        Wait::new(self, |this, cx| this.poll_recv(cx)).await
    }

    /// Waits for messages, and appends up to `limit` of those that are there to `into`. Returns how
    /// many: zero if the channel is closed and drained, or if `limit` is zero.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn recv_many(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        Wait::new(self, |this, cx| this.poll_recv_many(cx, into, limit)).await
    }

    /// Polls for a message. After `Pending`, the waker of the last call is woken when there is one,
    /// or when the channel closes; at once if only the [budget](crate::Builder::budget) is spent.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.intake().poll_recv(cx)
    }

    /// Polls for up to `limit` messages, as [`recv_many`](Self::recv_many) does.
    pub fn poll_recv_many(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<T>,
        limit: usize,
    ) -> Poll<usize> {
        self.intake().poll_recv_many(cx, into, limit)
    }

    /// Waits until there is a message, and leaves it in the channel: `true`; or until the channel
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

    /// Waits for a message, blocking the thread. `None` if the channel is closed or all senders
    /// were dropped, and all messages have been received.
    pub fn blocking_recv(&mut self) -> Option<T> {
        self.intake().recv_until(None).ok()
    }

    /// Waits for a message, blocking the thread for at most `timeout`.
    ///
    /// In a task, put the executor's own timeout around [`recv`](Self::recv) instead, which loses
    /// nothing when it is dropped, or use [`recv_or`](Self::recv_or) with the executor's timer.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`] if no message came in time, and [`RecvTimeoutError::Closed`]
    /// if the channel is closed and drained.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.intake().recv_timeout(timeout)
    }

    /// Waits for a message, blocking the thread until `deadline` at the latest.
    ///
    /// If the deadline has passed, it still returns a message that is there.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Self::recv_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// use lanemesh::RecvTimeoutError;
    ///
    /// let (mut tx, mut rx) = lanemesh::channel(1);
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// tx.try_send(1).unwrap();
    /// assert_eq!(rx.recv_deadline(deadline), Ok(1));
    /// assert_eq!(rx.recv_deadline(deadline), Err(RecvTimeoutError::Timeout));
    /// ```
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.intake().recv_until(Some(deadline))
    }

    /// Waits for messages, blocking the thread, and appends up to `limit` of those that are there
    /// to `into`. Returns how many: zero if the channel is closed and drained, or if `limit` is
    /// zero.
    ///
    /// # Examples
    ///
    /// ```
    /// let (mut tx, mut rx) = lanemesh::channel(8);
    /// tx.try_send_many(0..5).unwrap();
    /// drop(tx);
    /// let mut batch = Vec::new();
    /// assert_eq!(rx.blocking_recv_many(&mut batch, 3), 3);
    /// assert_eq!(rx.blocking_recv_many(&mut batch, 3), 2);
    /// assert_eq!(rx.blocking_recv_many(&mut batch, 3), 0);
    /// assert_eq!(batch, [0, 1, 2, 3, 4]);
    /// ```
    pub fn blocking_recv_many(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        self.intake().blocking_recv_many(into, limit)
    }

    #[inline(always)]
    pub(crate) fn intake(&mut self) -> Intake<'_, Inbox<T>> {
        Intake::new(&mut self.inbox, &mut self.budget)
    }

    /// Closes the channel: every later send fails and returns its message. Messages accepted before
    /// can still be received; then `recv` returns `None`.
    pub fn close(&mut self) {
        self.inbox.close();
    }

    /// Whether the channel is closed to new messages: by [`close`](Self::close), or because all
    /// senders were dropped. There may still be messages in it.
    pub fn is_closed(&self) -> bool {
        self.inbox.is_closed()
    }

    /// Whether there is no message in any lane; a snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of messages in all lanes; a snapshot. Visits each lane that has messages.
    pub fn len(&self) -> usize {
        self.inbox.len()
    }

    /// The number of senders, each of which is a producer. Weak senders are not counted.
    pub fn sender_count(&self) -> usize {
        self.inbox.fan_in().senders()
    }

    /// The number of weak senders; a snapshot.
    pub fn weak_sender_count(&self) -> usize {
        self.inbox.fan_in().weak_senders()
    }

    /// A handle that makes senders as long as at least one exists, and does not keep the channel
    /// open.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = lanemesh::channel::<u64>(1);
    /// let weak = rx.weak_sender();
    /// assert!(weak.upgrade().is_some());
    /// drop(tx);
    /// assert!(weak.upgrade().is_none());
    /// ```
    pub fn weak_sender(&self) -> WeakSender<T> {
        WeakSender::new(self.inbox.fan_in().clone())
    }

    /// A copy of this channel's statistics.
    pub fn stats(&self) -> Stats {
        self.inbox.stats()
    }

    /// Whether `sender` sends to this receiver.
    pub fn is_fed_by(&self, sender: &Sender<T>) -> bool {
        sender.sends_into(self.inbox.fan_in())
    }

    /// Iterates over messages until the channel is closed and drained, blocking the thread for
    /// each.
    pub fn iter(&mut self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// Iterates over the messages that are there, without waiting.
    pub fn try_iter(&mut self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }
}

impl<T> Sleeper for Receiver<T> {
    fn stop_sleeping(&mut self) {
        self.inbox.stop_sleeping();
    }
}

#[cfg(feature = "stream")]
impl<T> futures_core::Stream for Receiver<T> {
    type Item = T;

    fn poll_next(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let receiver = self.get_mut();
        let polled = receiver.poll_recv(cx);
        receiver.ended |= matches!(polled, Poll::Ready(None));
        polled
    }
}

/// It has terminated once the stream has returned `None`; other ways to receive do not count.
#[cfg(feature = "stream")]
impl<T> futures_core::FusedStream for Receiver<T> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

/// Nothing in a receiver is pinned.
impl<T> Unpin for Receiver<T> {}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("fan_in", self.inbox.fan_in())
            .finish_non_exhaustive()
    }
}

/// Iterator that blocks for each message; see [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a mut Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.blocking_recv()
    }
}

/// Iterator over the messages that are there; see [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a mut Receiver<T>,
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

/// Owning iterator that blocks for each message until the channel is closed and drained.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.blocking_recv()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

impl<'a, T> IntoIterator for &'a mut Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}
