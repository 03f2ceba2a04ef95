//! The mailbox with two priorities: two meshes, and a receiver that looks at the high one first.

use std::{
    fmt,
    future::poll_fn,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use crate::{
    config::Config,
    error::{
        RecvTimeoutError, SendError, SendManyError, SendTimeoutError, TryRecvError, TrySendError,
    },
    inbox::{Inbox, Sleep},
    mesh::Mesh,
    pace::Pace,
    park,
    sender::{Permit, Sender, WeakSender},
    shared_sender::SharedSender,
    stats::MailboxStats,
    sync::Arc,
};

/// Low-priority messages that a batch takes at most before it looks for high-priority ones again.
pub const HIGH_LOOK_INTERVAL: usize = 8;

/// A message from a mailbox, with its priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message<High, Low> {
    /// A high-priority message.
    High(High),
    /// A low-priority message.
    Low(Low),
}

/// What [`MailboxSender::send_low`] does when the low lane is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// Waits for room.
    #[default]
    Wait,
    /// Gives the message back as [`TrySendError::Full`].
    Reject,
    /// Drops the message that was to be sent, and counts it in [`Stats::dropped`].
    ///
    /// [`Stats::dropped`]: crate::Stats::dropped
    Drop,
}

/// What became of a message that `send_low` was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The receiver sees it, or drops it with the rest when it is dropped itself.
    Queued,
    /// It was dropped because the lane was full, under [`Overflow::Drop`].
    Dropped,
}

pub(crate) fn mailbox<High, Low>(
    high: Config,
    low: Config,
    overflow: Overflow,
) -> (MailboxSender<High, Low>, MailboxReceiver<High, Low>) {
    let (high, low, pace) = (
        Arc::new(Mesh::new(high)),
        Arc::new(Mesh::new(low)),
        Pace::new(low.budget),
    );
    let receiver = MailboxReceiver {
        high: Inbox::new(high.clone()),
        low: Inbox::new(low.clone()),
        pace,
    };
    (
        MailboxSender {
            high: Sender::first(high),
            low: Sender::first(low),
            overflow,
        },
        receiver,
    )
}

/// The sending side of a mailbox. Each clone is a producer with two lanes of its own.
///
/// A sender keeps the order of its messages within a class. There is no order between the classes, nor
/// between senders. [`high`](Self::high) and [`low`](Self::low) give the full interface of [`Sender`] for
/// each class; the methods here are those that are used most.
pub struct MailboxSender<High, Low> {
    high: Sender<High>,
    low: Sender<Low>,
    overflow: Overflow,
}

impl<High, Low> MailboxSender<High, Low> {
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
    /// As [`Sender::send`]: a message whose future is dropped was not sent and is dropped.
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

    /// Sends a high-priority message, blocking the thread for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`Sender::send_timeout`].
    pub fn send_high_timeout(
        &mut self,
        message: High,
        timeout: Duration,
    ) -> Result<(), SendTimeoutError<High>> {
        self.high.send_timeout(message, timeout)
    }

    /// Waits for room for a high-priority message; see [`Sender::reserve`].
    ///
    /// # Errors
    ///
    /// As [`Sender::reserve`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn reserve_high(&mut self) -> Result<Permit<'_, High>, SendError<()>> {
        self.high.reserve().await
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

    /// Sends a low-priority message; when the lane is full, does what this sender's [`Overflow`] says.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Closed`] when the channel is closed, and [`TrySendError::Full`] when the lane is
    /// full under [`Overflow::Reject`], both with the message.
    ///
    /// # Cancel safety
    ///
    /// As [`Sender::send`]: a message whose future is dropped was not sent and is dropped.
    pub async fn send_low(&mut self, message: Low) -> Result<Sent, TrySendError<Low>> {
        match self.overflow {
            Overflow::Wait => self.low.send(message).await.map_err(TrySendError::from),
            _ => return self.offer_low(message),
        }
        .map(|()| Sent::Queued)
    }

    /// Sends a low-priority message, blocking the thread while the lane is full; under
    /// [`Overflow::Reject`] and [`Overflow::Drop`] it does not wait.
    ///
    /// # Errors
    ///
    /// As [`send_low`](Self::send_low).
    pub fn blocking_send_low(&mut self, message: Low) -> Result<Sent, TrySendError<Low>> {
        match self.overflow {
            Overflow::Wait => self.low.blocking_send(message).map_err(TrySendError::from),
            _ => return self.offer_low(message),
        }
        .map(|()| Sent::Queued)
    }

    /// Sends without waiting, under a policy that says what to do instead.
    fn offer_low(&mut self, message: Low) -> Result<Sent, TrySendError<Low>> {
        match self.low.try_send(message) {
            Ok(()) => Ok(Sent::Queued),
            Err(TrySendError::Full(message)) if self.overflow == Overflow::Drop => {
                self.low.count_drop();
                drop(message);
                Ok(Sent::Dropped)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends a low-priority message, blocking the thread for at most `timeout`, whatever [`Overflow`]
    /// says.
    ///
    /// # Errors
    ///
    /// As [`Sender::send_timeout`].
    pub fn send_low_timeout(
        &mut self,
        message: Low,
        timeout: Duration,
    ) -> Result<(), SendTimeoutError<Low>> {
        self.low.send_timeout(message, timeout)
    }

    /// Waits for room for a low-priority message; see [`Sender::reserve`].
    ///
    /// # Errors
    ///
    /// As [`Sender::reserve`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn reserve_low(&mut self) -> Result<Permit<'_, Low>, SendError<()>> {
        self.low.reserve().await
    }

    /// Stages a low-priority message; see [`Sender::try_feed`].
    ///
    /// # Errors
    ///
    /// As [`Sender::try_feed`].
    pub fn try_feed_low(&mut self, message: Low) -> Result<(), TrySendError<Low>> {
        self.low.try_feed(message)
    }

    /// Stages a low-priority message, waiting for room; see [`Sender::feed`].
    ///
    /// # Errors
    ///
    /// As [`Sender::feed`].
    ///
    /// # Cancel safety
    ///
    /// As [`Sender::feed`].
    pub async fn feed_low(&mut self, message: Low) -> Result<(), SendError<Low>> {
        self.low.feed(message).await
    }

    /// Sends the staged low-priority messages; see [`Sender::flush`].
    ///
    /// # Errors
    ///
    /// As [`Sender::flush`].
    pub fn flush_low(&mut self) -> Result<(), SendError<Vec<Low>>> {
        self.low.flush()
    }

    /// Sends as many low-priority messages as fit; see [`Sender::try_send_many`].
    ///
    /// # Errors
    ///
    /// As [`Sender::try_send_many`].
    pub fn try_send_many_low(
        &mut self,
        messages: impl IntoIterator<Item = Low>,
    ) -> Result<usize, SendManyError<Low>> {
        self.low.try_send_many(messages)
    }

    /// Sends low-priority messages, waiting for room; see [`Sender::send_many`].
    ///
    /// # Errors
    ///
    /// As [`Sender::send_many`].
    ///
    /// # Cancel safety
    ///
    /// As [`Sender::send_many`].
    pub async fn send_many_low(
        &mut self,
        messages: impl IntoIterator<Item = Low>,
    ) -> Result<usize, SendManyError<Low>> {
        self.low.send_many(messages).await
    }

    /// Sends as many low-priority messages as fit; see [`Sender::try_send_vec`].
    ///
    /// # Errors
    ///
    /// As [`Sender::try_send_vec`].
    pub fn try_send_vec_low(&mut self, messages: &mut Vec<Low>) -> Result<usize, SendError<usize>> {
        self.low.try_send_vec(messages)
    }

    /// Sends low-priority messages, waiting for room; see [`Sender::send_vec`].
    ///
    /// # Errors
    ///
    /// As [`Sender::send_vec`].
    ///
    /// # Cancel safety
    ///
    /// As [`Sender::send_vec`].
    pub async fn send_vec_low(
        &mut self,
        messages: &mut Vec<Low>,
    ) -> Result<usize, SendError<usize>> {
        self.low.send_vec(messages).await
    }

    /// What this sender does when its low lane is full. Clones made later inherit it.
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

    /// Whether the receiver has closed the mailbox or is gone.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.low.is_closed()
    }

    /// Messages of this sender in both classes that the receiver has not taken.
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

    /// A handle that does not keep the mailbox open.
    pub fn downgrade(&self) -> WeakMailboxSender<High, Low> {
        WeakMailboxSender {
            high: self.high.downgrade(),
            low: self.low.downgrade(),
            overflow: self.overflow,
        }
    }

    /// This producer, to be used through `&self`: each of its lanes behind a short lock of its own.
    pub fn shared(self) -> SharedMailboxSender<High, Low> {
        let Self {
            high,
            low,
            overflow,
        } = self;
        SharedMailboxSender {
            high: high.shared(),
            low: low.shared(),
            overflow,
        }
    }
}

/// Another producer, with two lanes of its own.
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
    high: WeakSender<High>,
    low: WeakSender<Low>,
    overflow: Overflow,
}

impl<High, Low> WeakMailboxSender<High, Low> {
    /// A new producer, or `None` when the last sender of either class has been dropped.
    pub fn upgrade(&self) -> Option<MailboxSender<High, Low>> {
        Some(MailboxSender {
            high: self.high.upgrade()?,
            low: self.low.upgrade()?,
            overflow: self.overflow,
        })
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

/// A [`MailboxSender`] whose sends take `&self`; see [`SharedSender`].
pub struct SharedMailboxSender<High, Low> {
    high: SharedSender<High>,
    low: SharedSender<Low>,
    overflow: Overflow,
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

    /// Sends a high-priority message if the lane has room.
    ///
    /// # Errors
    ///
    /// As [`Sender::try_send`].
    pub fn try_send_high(&self, message: High) -> Result<(), TrySendError<High>> {
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
    /// As [`Sender::send`].
    pub async fn send_high(&self, message: High) -> Result<(), SendError<High>> {
        self.high.send(message).await
    }

    /// Sends a low-priority message if the lane has room.
    ///
    /// # Errors
    ///
    /// As [`Sender::try_send`].
    pub fn try_send_low(&self, message: Low) -> Result<(), TrySendError<Low>> {
        self.low.try_send(message)
    }

    /// Sends a low-priority message, waiting for room in the lane, whatever [`Overflow`] says.
    ///
    /// # Errors
    ///
    /// As [`Sender::send`].
    ///
    /// # Cancel safety
    ///
    /// As [`Sender::send`].
    pub async fn send_low(&self, message: Low) -> Result<(), SendError<Low>> {
        self.low.send(message).await
    }

    /// Whether the receiver has closed the mailbox or is gone.
    pub fn is_closed(&self) -> bool {
        self.low.is_closed()
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

/// Another producer, with two lanes of its own.
impl<High, Low> Clone for SharedMailboxSender<High, Low> {
    fn clone(&self) -> Self {
        self.sender().shared()
    }
}

impl<High, Low> fmt::Debug for SharedMailboxSender<High, Low> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMailboxSender")
            .field("high", &self.high)
            .field("low", &self.low)
            .finish()
    }
}

/// The receiving side of a mailbox.
///
/// A high-priority message whose send has returned before a receive begins is what that receive gives;
/// a batch looks for them again at least every [`HIGH_LOOK_INTERVAL`] low-priority messages. How many
/// low-priority lanes are ready makes no difference. Otherwise as [`Receiver`](crate::Receiver), also
/// about the budget, which counts both classes.
pub struct MailboxReceiver<High, Low> {
    high: Inbox<High>,
    low: Inbox<Low>,
    pace: Pace,
}

impl<High, Low> MailboxReceiver<High, Low> {
    #[inline]
    fn try_next(&mut self) -> Option<Message<High, Low>> {
        if self.high.may_have_next()
            && let Some(message) = self.high.try_next()
        {
            return Some(Message::High(message));
        }
        self.low.try_next().map(Message::Low)
    }

    fn try_next_many(&mut self, into: &mut Vec<Message<High, Low>>, limit: usize) -> usize {
        let mut count = 0;
        'all: while count < limit {
            while self.high.may_have_next()
                && count < limit
                && let Some(message) = self.high.try_next()
            {
                into.push(Message::High(message));
                count += 1;
            }
            for _ in 0..HIGH_LOOK_INTERVAL.min(limit - count) {
                let Some(message) = self.low.try_next() else {
                    break 'all;
                };
                into.push(Message::Low(message));
                count += 1;
            }
        }
        count
    }

    #[inline]
    fn sleep(&mut self, waker: &Waker) -> Sleep {
        let high = self.high.sleep(waker);
        if matches!(high, Sleep::Ready | Sleep::Busy) {
            return high;
        }
        match (high, self.low.sleep(waker)) {
            (_, low @ (Sleep::Ready | Sleep::Busy)) => low,
            (Sleep::Closed, Sleep::Closed) => Sleep::Closed,
            _ => Sleep::Asleep,
        }
    }

    #[cold]
    fn why_nothing(&mut self) -> TryRecvError {
        if self.high.is_finished() && self.low.is_finished() {
            TryRecvError::Closed
        } else {
            TryRecvError::Empty
        }
    }

    /// Takes a message if one is there, of high priority first.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] when there is none now, and [`TryRecvError::Closed`] when the mailbox is
    /// closed, or all senders are gone, and all messages have been taken.
    #[inline]
    pub fn try_recv(&mut self) -> Result<Message<High, Low>, TryRecvError> {
        match self.try_next() {
            Some(message) => Ok(message),
            None => Err(self.why_nothing()),
        }
    }

    /// Takes up to `limit` messages to the end of `into`, and says how many.
    ///
    /// High-priority messages go first, and are looked for again at least every
    /// [`HIGH_LOOK_INTERVAL`] low-priority ones.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv), when there is none and `limit` is not zero.
    pub fn try_recv_many(
        &mut self,
        into: &mut Vec<Message<High, Low>>,
        limit: usize,
    ) -> Result<usize, TryRecvError> {
        match self.try_next_many(into, limit) {
            0 if limit > 0 => Err(self.why_nothing()),
            count => Ok(count),
        }
    }

    /// Takes a high-priority message if one is there.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv), for this class alone.
    pub fn try_recv_high(&mut self) -> Result<High, TryRecvError> {
        try_recv_of(&mut self.high)
    }

    /// Takes a low-priority message if one is there, whatever waits in the high class.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv), for this class alone.
    pub fn try_recv_low(&mut self) -> Result<Low, TryRecvError> {
        try_recv_of(&mut self.low)
    }

    /// Takes up to `limit` low-priority messages to the end of `into`, and says how many, whatever waits
    /// in the high class.
    ///
    /// # Errors
    ///
    /// As [`try_recv_low`](Self::try_recv_low), when there is none and `limit` is not zero.
    pub fn try_recv_many_low(
        &mut self,
        into: &mut Vec<Low>,
        limit: usize,
    ) -> Result<usize, TryRecvError> {
        match self.low.try_next_many(into, limit) {
            0 if limit > 0 && self.low.is_finished() => Err(TryRecvError::Closed),
            0 if limit > 0 => Err(TryRecvError::Empty),
            count => Ok(count),
        }
    }

    /// Waits for a message. `None` when the mailbox is closed, or all senders are gone, and all messages
    /// have been taken.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a message is taken only when the future is ready.
    #[inline]
    pub async fn recv(&mut self) -> Option<Message<High, Low>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Waits for messages, and takes up to `limit` of those that are there as
    /// [`try_recv_many`](Self::try_recv_many) does. Says how many: zero when the mailbox is closed and
    /// drained, or `limit` is zero.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn recv_many(&mut self, into: &mut Vec<Message<High, Low>>, limit: usize) -> usize {
        poll_fn(|cx| self.poll_recv_many(cx, into, limit)).await
    }

    /// Waits for a high-priority message; `None` when that class is closed and drained.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn recv_high(&mut self) -> Option<High> {
        poll_fn(|cx| self.poll_recv_high(cx)).await
    }

    /// Waits for a low-priority message, whatever waits in the high class; `None` when that class is
    /// closed and drained.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn recv_low(&mut self) -> Option<Low> {
        poll_fn(|cx| self.poll_recv_low(cx)).await
    }

    /// Waits for low-priority messages, and takes up to `limit` of those that are there, whatever waits
    /// in the high class. Says how many: zero when that class is closed and drained, or `limit` is zero.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn recv_many_low(&mut self, into: &mut Vec<Low>, limit: usize) -> usize {
        let (pace, low) = (&mut self.pace, &mut self.low);
        poll_fn(|cx| {
            let found = poll_of(pace, low, cx, |low| match low.try_next_many(into, limit) {
                0 if limit > 0 => None,
                count => Some((count, count)),
            });
            found.map(|count| count.unwrap_or(0))
        })
        .await
    }

    /// Polls for a message. With `Pending`, the waker of the last call is woken when there is one, or the
    /// mailbox closes.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message<High, Low>>> {
        if !self.pace.may_go_on(cx) {
            return Poll::Pending;
        }
        loop {
            if let Some(message) = self.try_next() {
                self.pace.count(1);
                return Poll::Ready(Some(message));
            }
            match self.sleep(cx.waker()) {
                Sleep::Ready => {}
                Sleep::Closed => return Poll::Ready(None),
                sleep => return self.pace.pause(cx, sleep),
            }
        }
    }

    /// Polls for up to `limit` messages, as [`recv_many`](Self::recv_many) does.
    pub fn poll_recv_many(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<Message<High, Low>>,
        limit: usize,
    ) -> Poll<usize> {
        if limit == 0 {
            return Poll::Ready(0);
        }
        if !self.pace.may_go_on(cx) {
            return Poll::Pending;
        }
        loop {
            let count = self.try_next_many(into, limit);
            if count > 0 {
                self.pace.count(count);
                return Poll::Ready(count);
            }
            match self.sleep(cx.waker()) {
                Sleep::Ready => {}
                Sleep::Closed => return Poll::Ready(0),
                sleep => return self.pace.pause(cx, sleep),
            }
        }
    }

    /// Polls for a high-priority message.
    pub fn poll_recv_high(&mut self, cx: &mut Context<'_>) -> Poll<Option<High>> {
        poll_of(&mut self.pace, &mut self.high, cx, |high| {
            high.try_next().map(|m| (m, 1))
        })
    }

    /// Polls for a low-priority message, whatever waits in the high class.
    pub fn poll_recv_low(&mut self, cx: &mut Context<'_>) -> Poll<Option<Low>> {
        poll_of(&mut self.pace, &mut self.low, cx, |low| {
            low.try_next().map(|m| (m, 1))
        })
    }

    /// Waits until a message is there, without taking it: `true`; or until the mailbox is closed and
    /// drained: `false`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn readable(&mut self) -> bool {
        poll_fn(|cx| self.poll_readable(cx)).await
    }

    /// Polls as [`readable`](Self::readable) does.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if !self.pace.may_go_on(cx) {
            return Poll::Pending;
        }
        loop {
            if self.high.has_next() || self.low.has_next() {
                self.pace.count(1);
                return Poll::Ready(true);
            }
            match self.sleep(cx.waker()) {
                Sleep::Ready => {}
                Sleep::Closed => return Poll::Ready(false),
                sleep => return self.pace.pause(cx, sleep),
            }
        }
    }

    /// Whether a high-priority message is there; a snapshot.
    pub fn has_high(&self) -> bool {
        self.high.may_have_next() && self.high.len() > 0
    }

    /// Waits for a message, blocking the thread. `None` when the mailbox is closed, or all senders are
    /// gone, and all messages have been taken.
    pub fn blocking_recv(&mut self) -> Option<Message<High, Low>> {
        self.recv_until(None).ok()
    }

    /// Waits for a message, blocking the thread for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`] when none came in time, and [`RecvTimeoutError::Closed`] when the
    /// mailbox is closed and drained.
    pub fn recv_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<Message<High, Low>, RecvTimeoutError> {
        self.recv_until(Instant::now().checked_add(timeout))
    }

    fn recv_until(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Message<High, Low>, RecvTimeoutError> {
        if let Some(message) = park::spin(|| self.try_next()) {
            return Ok(message);
        }
        match park::block_on(deadline, |cx| {
            self.pace.rest();
            self.poll_recv(cx)
        }) {
            Some(Some(message)) => Ok(message),
            Some(None) => Err(RecvTimeoutError::Closed),
            None => Err(RecvTimeoutError::Timeout),
        }
    }

    /// Closes the mailbox: every later send fails and gives its message back. Those accepted before can
    /// still be received; then `recv` says `None`.
    pub fn close(&mut self) {
        self.high.close();
        self.low.close();
    }

    /// Whether the mailbox is closed to new messages: by [`close`](Self::close), or because all senders
    /// are gone. Messages may still be there.
    pub fn is_closed(&self) -> bool {
        self.high.is_closed() && self.low.is_closed()
    }

    /// Whether there is no message in any lane; a snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages in all lanes together; a snapshot. Costs a look at every lane that has messages.
    pub fn len(&self) -> usize {
        self.high.len() + self.low.len()
    }

    /// Senders of low-priority messages alive, each of them a producer.
    pub fn sender_count(&self) -> usize {
        self.low.mesh().senders()
    }

    /// Figures of both classes, copied out.
    pub fn stats(&self) -> MailboxStats {
        MailboxStats {
            high: self.high.stats(),
            low: self.low.stats(),
        }
    }

    /// Messages until the mailbox is closed and drained, blocking the thread for each.
    pub fn iter(&mut self) -> impl Iterator<Item = Message<High, Low>> {
        std::iter::from_fn(|| self.blocking_recv())
    }

    /// Messages that are there; ends when there is none.
    pub fn try_iter(&mut self) -> impl Iterator<Item = Message<High, Low>> {
        std::iter::from_fn(|| self.try_recv().ok())
    }
}

fn try_recv_of<T>(inbox: &mut Inbox<T>) -> Result<T, TryRecvError> {
    match inbox.try_next() {
        Some(message) => Ok(message),
        None if inbox.is_finished() => Err(TryRecvError::Closed),
        None => Err(TryRecvError::Empty),
    }
}

/// Polls one class alone with `take`, which says what it took and how many.
fn poll_of<T, R>(
    pace: &mut Pace,
    inbox: &mut Inbox<T>,
    cx: &mut Context<'_>,
    mut take: impl FnMut(&mut Inbox<T>) -> Option<(R, usize)>,
) -> Poll<Option<R>> {
    if !pace.may_go_on(cx) {
        return Poll::Pending;
    }
    loop {
        if let Some((found, count)) = take(inbox) {
            pace.count(count);
            return Poll::Ready(Some(found));
        }
        match inbox.sleep(cx.waker()) {
            Sleep::Ready => {}
            Sleep::Closed => return Poll::Ready(None),
            sleep => return pace.pause(cx, sleep),
        }
    }
}

#[cfg(feature = "stream")]
impl<High, Low> futures_core::Stream for MailboxReceiver<High, Low> {
    type Item = Message<High, Low>;

    fn poll_next(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_recv(cx)
    }
}

/// Nothing in a receiver is pinned.
impl<High, Low> Unpin for MailboxReceiver<High, Low> {}

impl<High, Low> fmt::Debug for MailboxReceiver<High, Low> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailboxReceiver")
            .field("high", &self.high)
            .field("low", &self.low)
            .finish_non_exhaustive()
    }
}
