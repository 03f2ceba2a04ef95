//! Receiving from one class of a mailbox alone.

use std::{
    fmt,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use crate::{
    error::{RecvTimeoutError, TryRecvError},
    receiver::{
        budget::CoopBudget,
        inbox::Inbox,
        intake::Intake,
        wait::{Sleeper, Wait},
    },
};

/// One class of a mailbox, borrowed from its receiver by [`MailboxReceiver::high`] or
/// [`MailboxReceiver::low`].
///
/// It receives from that class whatever waits in the other. Both classes count against one
/// [budget](crate::Builder::budget).
///
/// # Examples
///
/// ```
/// let (mut tx, mut rx) = lanemesh::mailbox::<&str, u64>(1, 1);
/// tx.try_send_high("stop").unwrap();
/// tx.try_send_low(1).unwrap();
/// assert_eq!(rx.low().try_recv(), Ok(1));
/// assert_eq!(rx.high().try_recv(), Ok("stop"));
/// ```
///
/// [`MailboxReceiver::high`]: crate::MailboxReceiver::high
/// [`MailboxReceiver::low`]: crate::MailboxReceiver::low
pub struct ClassReceiver<'a, T> {
    intake: Intake<'a, Inbox<T>>,
}

impl<'a, T> ClassReceiver<'a, T> {
    #[inline]
    pub(super) fn new(inbox: &'a mut Inbox<T>, budget: &'a mut CoopBudget) -> Self {
        Self {
            intake: Intake::new(inbox, budget),
        }
    }

    pub(crate) fn intake(&mut self) -> Intake<'_, Inbox<T>> {
        self.intake.reborrow()
    }

    /// The same class, borrowed from this.
    pub(crate) fn reborrow(&mut self) -> ClassReceiver<'_, T> {
        ClassReceiver {
            intake: self.intake.reborrow(),
        }
    }

    /// Takes a message of this class if there is one.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] when there is none now, and [`TryRecvError::Closed`] when this class
    /// is closed and drained.
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.intake().try_recv()
    }

    /// Appends up to `limit` messages of this class to `into`, and returns how many.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv), when there is none and `limit` is not zero.
    pub fn try_recv_many(
        &mut self,
        into: &mut Vec<T>,
        limit: usize,
    ) -> Result<usize, TryRecvError> {
        self.intake().try_recv_many(into, limit)
    }

    /// Waits for a message of this class; `None` when the class is closed and drained.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a message is taken only when the future is ready.
    pub async fn recv(mut self) -> Option<T> {
        Wait::new(&mut self, |this, cx| this.poll_recv(cx)).await
    }

    /// Waits for messages of this class, and appends up to `limit` of those that are there to
    /// `into`. Returns how many: zero when the class is closed and drained, or `limit` is zero.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn recv_many(mut self, into: &mut Vec<T>, limit: usize) -> usize {
        Wait::new(&mut self, |this, cx| this.poll_recv_many(cx, into, limit)).await
    }

    /// Polls for a message of this class. With `Pending`, the waker of the last call is woken when
    /// there is one, or the class closes.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.intake().poll_recv(cx)
    }

    /// Polls for up to `limit` messages of this class, as [`recv_many`](Self::recv_many) does.
    pub fn poll_recv_many(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<T>,
        limit: usize,
    ) -> Poll<usize> {
        self.intake().poll_recv_many(cx, into, limit)
    }

    /// Waits for a message of this class, blocking the thread. `None` if the class is closed and
    /// drained.
    pub fn blocking_recv(&mut self) -> Option<T> {
        self.intake().recv_until(None).ok()
    }

    /// Waits for messages of this class, blocking the thread, and appends up to `limit` of those
    /// that are there to `into`. Returns how many: zero if the class is closed and drained, or if
    /// `limit` is zero.
    pub fn blocking_recv_many(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        self.intake().blocking_recv_many(into, limit)
    }

    /// Waits for a message of this class, blocking the thread for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`] if no message came in time, and [`RecvTimeoutError::Closed`]
    /// if the class is closed and drained.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use lanemesh::RecvTimeoutError;
    ///
    /// let (mut tx, mut rx) = lanemesh::mailbox::<&str, u64>(1, 1);
    /// tx.try_send_low(1).unwrap();
    /// let timeout = Duration::from_millis(1);
    /// assert_eq!(rx.high().recv_timeout(timeout), Err(RecvTimeoutError::Timeout));
    /// assert_eq!(rx.low().recv_timeout(timeout), Ok(1));
    /// ```
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.intake().recv_timeout(timeout)
    }

    /// Waits for a message of this class, blocking the thread until `deadline` at the latest.
    ///
    /// If the deadline has passed, it still returns a message that is there.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Self::recv_timeout).
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.intake().recv_until(Some(deadline))
    }
}

impl<T> Sleeper for ClassReceiver<'_, T> {
    fn stop_sleeping(&mut self) {
        self.intake.stop_sleeping();
    }
}

impl<T> fmt::Debug for ClassReceiver<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClassReceiver")
            .field("inbox", &self.intake.source)
            .finish_non_exhaustive()
    }
}
