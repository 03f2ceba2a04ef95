//! Sending as a thread, which parks while there is no room.

use std::{
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

use super::SharedSender;
use crate::{
    error::{SendError, SendTimeoutError, TrySendError},
    sync::park,
};

impl<T> SharedSender<T> {
    /// Sends a message, blocking the thread while the lane is full.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message when the channel is closed, or closes while it waits.
    pub fn blocking_send(&self, message: T) -> Result<(), SendError<T>> {
        self.send_until(message, None)
            .map_err(|error| SendError(error.into_inner()))
    }

    /// Sends a message, blocking the thread for at most `timeout` while the lane is full.
    ///
    /// In a task, use [`send_or`](Self::send_or) with the executor's timer instead.
    ///
    /// # Errors
    ///
    /// [`SendTimeoutError::Timeout`] when there was no room in time, and [`SendTimeoutError::Closed`]
    /// when the channel is closed, or closes while it waits; both give the message back.
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        if timeout.is_zero() {
            return self.try_send(message).map_err(SendTimeoutError::from);
        }
        self.send_until(message, Instant::now().checked_add(timeout))
    }

    /// Sends a message, blocking the thread until `deadline` at the latest while the lane is full.
    ///
    /// If the deadline has passed, it still sends if there is room.
    ///
    /// # Errors
    ///
    /// As [`send_timeout`](Self::send_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// use lanemesh::SendTimeoutError;
    ///
    /// let (tx, _rx) = lanemesh::channel(1);
    /// let tx = tx.shared();
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// assert_eq!(tx.send_deadline(1, deadline), Ok(()));
    /// assert_eq!(tx.send_deadline(2, deadline), Err(SendTimeoutError::Timeout(2)));
    /// ```
    pub fn send_deadline(&self, message: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_until(message, Some(deadline))
    }

    fn send_until(&self, message: T, deadline: Option<Instant>) -> Result<(), SendTimeoutError<T>> {
        let message = match self.try_send(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(message)) => return Err(SendTimeoutError::Closed(message)),
            Err(TrySendError::Full(message)) => message,
        };
        let mut wait = pin!(self.wait(1));
        match park::block_on(deadline, |cx| wait.as_mut().poll(cx)) {
            None => Err(SendTimeoutError::Timeout(message)),
            Some(Err(_)) => Err(SendTimeoutError::Closed(message)),
            Some(Ok(())) => self
                .send_reserved(message)
                .map_err(|SendError(message)| SendTimeoutError::Closed(message)),
        }
    }
}
