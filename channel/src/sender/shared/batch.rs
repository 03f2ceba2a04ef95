//! Sending many messages through a shared lane.
//!
//! Each message claims a place of its own, so those of other clones may come in between; the receiver is woken by the
//! first alone. Nothing is staged, as `Sender::try_feed` does it: what a sender for `&self` has staged would be the
//! state of one clone, behind a lock.

use super::SharedSender;
use crate::error::{SendError, SendManyError, TrySendError};

impl<T> SharedSender<T> {
    /// Sends as many messages of an iterator as the lane has room for when this is called, so at most
    /// [`capacity`](Self::capacity), and returns how many. Takes only those from the iterator: pass
    /// [`by_ref`](Iterator::by_ref) to go on with the rest. If the iterator panics, what it has returned before is sent.
    ///
    /// Messages that other clones send meanwhile may come in between.
    ///
    /// # Errors
    ///
    /// [`SendManyError`] when the channel is closed, with the message that was taken from the iterator but not accepted.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, mut rx) = lanemesh::channel(4);
    /// let tx = tx.shared();
    /// let mut numbers = 0..;
    /// assert_eq!(tx.try_send_many(numbers.by_ref()), Ok(4));
    /// assert_eq!(rx.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    /// assert_eq!(numbers.next(), Some(4));
    /// ```
    pub fn try_send_many(
        &self,
        messages: impl IntoIterator<Item = T>,
    ) -> Result<usize, SendManyError<T>> {
        let mut sent = 0;
        self.send_some(&mut messages.into_iter(), &mut sent)?;
        Ok(sent)
    }

    /// Sends from the iterator until the room at the call is used (`false`) or the iterator ends (`true`).
    fn send_some(
        &self,
        messages: &mut impl Iterator<Item = T>,
        sent: &mut usize,
    ) -> Result<bool, SendManyError<T>> {
        let closed = |sent: usize, unsent: Vec<T>| SendManyError { sent, unsent };
        // What the receiver takes meanwhile does not count: the iterator might go on forever.
        for _ in 0..self.remaining_capacity().max(1) {
            if messages.size_hint().1 == Some(0) {
                return Ok(true);
            }
            // The permit comes first: a message that is taken from the iterator has room.
            let permit = match self.try_reserve() {
                Ok(permit) => permit,
                Err(TrySendError::Full(())) => return Ok(false),
                Err(TrySendError::Closed(())) => return Err(closed(*sent, Vec::new())),
            };
            let Some(message) = messages.next() else {
                return Ok(true);
            };
            if let Err(SendError(message)) = permit.send(message) {
                return Err(closed(*sent, vec![message]));
            }
            *sent += 1;
        }
        Ok(messages.size_hint().1 == Some(0))
    }

    /// Sends all messages of an iterator, waiting for room as needed, and returns how many. The iterator is asked for
    /// the next message only once there is room.
    ///
    /// # Errors
    ///
    /// [`SendManyError`] when the channel is closed, or closes while it waits, with the message that was taken from the
    /// iterator but not accepted.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, messages taken from the iterator have been sent, and the rest is still in the
    /// iterator: pass [`by_ref`](Iterator::by_ref) to keep it.
    pub async fn send_many(
        &self,
        messages: impl IntoIterator<Item = T>,
    ) -> Result<usize, SendManyError<T>> {
        let mut messages = messages.into_iter();
        let mut sent = 0;
        while messages.size_hint().1 != Some(0) {
            let Ok(permit) = self.reserve().await else {
                let unsent = Vec::new();
                return Err(SendManyError { sent, unsent });
            };
            let Some(message) = messages.next() else {
                break;
            };
            if let Err(SendError(message)) = permit.send(message) {
                let unsent = vec![message];
                return Err(SendManyError { sent, unsent });
            }
            sent += 1;
        }
        Ok(sent)
    }

    /// Sends as many messages from the front of `messages` as the lane has room for, removes them, and returns how many.
    ///
    /// # Errors
    ///
    /// [`SendError`] when the channel is closed, with the number of messages sent before. The others stay in `messages`.
    pub fn try_send_vec(&self, messages: &mut Vec<T>) -> Result<usize, SendError<usize>> {
        let mut front = Front::of(messages);
        self.send_front(&mut front)
            .map(|_| front.sent)
            .map_err(|SendError(())| SendError(front.sent))
    }

    /// Sends from the front while there is room; `true` when that was all.
    fn send_front(&self, front: &mut Front<'_, T>) -> Result<bool, SendError<()>> {
        if self.is_closed() {
            return Err(SendError(()));
        }
        loop {
            match front.send_one(|message| self.try_send(message)) {
                Some(Ok(())) => {}
                None => return Ok(true),
                Some(Err(TrySendError::Full(()))) => return Ok(false),
                Some(Err(TrySendError::Closed(()))) => return Err(SendError(())),
            }
        }
    }

    /// Sends all of `messages`, waiting for room as needed, and returns how many.
    ///
    /// # Errors
    ///
    /// [`SendError`] when the channel is closed, or closes while it waits, with the number of messages sent before. The
    /// others stay in `messages`.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, messages that were sent have been removed from `messages`, and the rest is still
    /// there.
    pub async fn send_vec(&self, messages: &mut Vec<T>) -> Result<usize, SendError<usize>> {
        let mut front = Front::of(messages);
        loop {
            self.cooperate().await;
            match self.send_front(&mut front) {
                Ok(true) => return Ok(front.sent),
                Ok(false) => {}
                Err(_) => return Err(SendError(front.sent)),
            }
            let Ok(permit) = self.reserve().await else {
                return Err(SendError(front.sent));
            };
            let send = |message| permit.send(message).map_err(TrySendError::from);
            if let Some(Err(_)) = front.send_one(send) {
                return Err(SendError(front.sent));
            }
        }
    }
}

/// A batch that is sent from its front. When this is dropped, what was sent has been removed, and the rest is in order.
struct Front<'a, T> {
    messages: &'a mut Vec<T>,
    sent: usize,
}

impl<'a, T> Front<'a, T> {
    /// The last message is the first to be sent from here on.
    fn of(messages: &'a mut Vec<T>) -> Self {
        messages.reverse();
        Self { messages, sent: 0 }
    }

    /// Sends the first message, if there is one, or puts it back.
    fn send_one(
        &mut self,
        send: impl FnOnce(T) -> Result<(), TrySendError<T>>,
    ) -> Option<Result<(), TrySendError<()>>> {
        let message = self.messages.pop()?;
        Some(match send(message) {
            Ok(()) => {
                self.sent += 1;
                Ok(())
            }
            Err(error) => Err(error.map(|message| self.messages.push(message))),
        })
    }
}

impl<T> Drop for Front<'_, T> {
    fn drop(&mut self) {
        self.messages.reverse();
    }
}
