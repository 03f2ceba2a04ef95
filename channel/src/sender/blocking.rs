//! Sending as a thread, which parks while there is no room.

use std::time::{Duration, Instant};

use super::Sender;
use crate::{
    error::{SendError, SendTimeoutError, TrySendError},
    sync::{park, spin},
};

impl<T> Sender<T> {
    /// Sends a message, blocking the thread while the lane is full.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message when the channel is closed, or closes while it waits.
    pub fn blocking_send(&mut self, message: T) -> Result<(), SendError<T>> {
        self.send_until(message, None)
            .map_err(|error| SendError(error.into_inner()))
    }

    /// Sends a message, blocking the thread for at most `timeout` while the lane is full.
    ///
    /// In a task, use [`send_or`](Self::send_or) with the executor's timer instead.
    ///
    /// # Errors
    ///
    /// [`SendTimeoutError::Timeout`] if there was no room in time, and [`SendTimeoutError::Closed`]
    /// if the channel is closed, or closes while it waits; both return the message.
    pub fn send_timeout(
        &mut self,
        message: T,
        timeout: Duration,
    ) -> Result<(), SendTimeoutError<T>> {
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
    /// let (mut tx, _rx) = lanemesh::channel(1);
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// assert_eq!(tx.send_deadline(1, deadline), Ok(()));
    /// assert_eq!(tx.send_deadline(2, deadline), Err(SendTimeoutError::Timeout(2)));
    /// ```
    pub fn send_deadline(
        &mut self,
        message: T,
        deadline: Instant,
    ) -> Result<(), SendTimeoutError<T>> {
        self.send_until(message, Some(deadline))
    }

    fn send_until(
        &mut self,
        message: T,
        deadline: Option<Instant>,
    ) -> Result<(), SendTimeoutError<T>> {
        let message = match self.try_send(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(message)) => return Err(SendTimeoutError::Closed(message)),
            Err(TrySendError::Full(message)) => message,
        };
        // A sender that went on at the first free slot would find the lane full again at once, and
        // would compete with the receiver for its cache lines at every message.
        let half = if self.is_bounded() {
            1
        } else {
            self.fan_in.config.half()
        };
        let room = spin::spin_unless_oversubscribed(deadline, self.fan_in.senders(), || {
            (self.is_closed() || self.room_for(half) >= half).then_some(())
        });
        let ready = match room {
            Some(()) => Some(Ok(())),
            None => park::block_on(deadline, |cx| self.poll_room(cx, 1)),
        };
        self.stop_waiting();
        match ready {
            None => {
                self.cancel_wait();
                Err(SendTimeoutError::Timeout(message))
            }
            Some(Err(_)) => Err(SendTimeoutError::Closed(message)),
            Some(Ok(())) => self.try_send(message).map_err(SendTimeoutError::from),
        }
    }
}
