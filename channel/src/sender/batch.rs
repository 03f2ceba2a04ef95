//! Sending many messages with one wake-up: staged one by one, from an iterator, or from a vector.

use std::mem;

use super::{Aside, Path, Sender};
use crate::{
    error::{SendError, SendManyError, TrySendError},
    fan_in::FanIn,
    sync::wake_all::WakeAll,
};

/// Messages of an iterator that are sent with one publication.
const CHUNK: usize = 64;

impl<T> Sender<T> {
    /// Stages a message in this sender, if the lane has room for it in addition to those already
    /// staged. The receiver sees none of them before [`flush`](Self::flush) or the next send.
    ///
    /// A batch that is fed and flushed costs one handshake with the receiver instead of one per
    /// message.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] or [`TrySendError::Closed`], with the message.
    ///
    /// # Examples
    ///
    /// ```
    /// let (mut tx, mut rx) = lanemesh::channel(8);
    /// for n in 0..3 {
    ///     tx.try_feed(n).unwrap();
    /// }
    /// assert!(rx.try_recv().is_err());
    /// tx.flush().unwrap();
    /// assert_eq!(rx.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    /// ```
    pub fn try_feed(&mut self, message: T) -> Result<(), TrySendError<T>> {
        if self.is_closed() {
            return Err(TrySendError::Closed(message));
        }
        if !self.has_room() {
            return Err(TrySendError::Full(message));
        }
        self.stage(message);
        Ok(())
    }

    /// Stages a message as [`try_feed`](Self::try_feed) does; if the lane has no room, flushes what
    /// is staged and waits.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the message when the channel is closed, or closes while it waits.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message is dropped with it. Messages staged
    /// before are kept.
    pub async fn feed(&mut self, message: T) -> Result<(), SendError<T>> {
        self.cooperate(1).await;
        match self.try_feed(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(message)) => Err(SendError(message)),
            Err(TrySendError::Full(message)) => match self.wait_for_room(1).await {
                Ok(()) => {
                    self.stage(message);
                    Ok(())
                }
                Err(_) => Err(SendError(message)),
            },
        }
    }

    /// Sends what is staged, with one publication. There is always room for it.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the messages that were not accepted, in order, if the channel is closed.
    pub fn flush(&mut self) -> Result<(), SendError<Vec<T>>> {
        if self.flush_staged() {
            return Ok(());
        }
        Err(SendError(mem::take(self.staged())))
    }

    /// Stages a message, for which there is room.
    pub(super) fn stage(&mut self, message: T) {
        self.credit -= 1;
        self.path = Path::Staged;
        self.staged().push(message);
    }

    pub(super) fn staged(&mut self) -> &mut Vec<T> {
        self.aside.get_or_insert_with(Aside::new).staged.get()
    }

    /// Sends what is staged; `false` if some of it was not accepted, and is still staged.
    pub(super) fn flush_staged(&mut self) -> bool {
        if self.path != Path::Staged {
            return true;
        }
        let mut staged = mem::take(self.staged());
        let count = staged.len();
        self.send_front(&mut staged, count);
        let all = staged.is_empty();
        *self.staged() = staged;
        if !all {
            self.path = Path::Staged;
        }
        all
    }

    /// Sends the first `count` of `items`, for which room has been counted, and removes those that
    /// were accepted: all of them, unless the channel is closed.
    fn send_front(&mut self, items: &mut Vec<T>, count: usize) -> usize {
        if count == 0 || self.fan_in.is_closed() {
            return 0;
        }
        self.path = Path::Lane;
        if self.lane_or_open().is_none() {
            return 0;
        }
        let FanIn { ready, config, .. } = &*self.fan_in;
        self.lane
            .as_mut()
            .map_or(0, |lane| lane.send_ring_vec(ready, config, items, count))
    }

    /// Sends as many messages of an iterator as the lane has room for when this is called, so at most
    /// [`capacity`](Self::capacity), with one publication per up to 64, and returns how many. Takes only those
    /// from the iterator: pass [`by_ref`](Iterator::by_ref) to go on with the rest. If the iterator
    /// panics, what it has returned before is sent.
    ///
    /// # Errors
    ///
    /// [`SendManyError`] if the channel is closed, with the messages that were taken from the
    /// iterator but not accepted.
    pub fn try_send_many(
        &mut self,
        messages: impl IntoIterator<Item = T>,
    ) -> Result<usize, SendManyError<T>> {
        let mut sent = 0;
        self.send_some(&mut messages.into_iter(), &mut sent)?;
        Ok(sent)
    }

    /// Sends from the iterator until the room at the call is used (`false`) or the iterator ends (`true`).
    fn send_some(
        &mut self,
        messages: &mut impl Iterator<Item = T>,
        sent: &mut usize,
    ) -> Result<bool, SendManyError<T>> {
        let closed = |sent: usize, unsent| SendManyError { sent, unsent };
        if !self.flush_staged() {
            return Err(closed(*sent, Vec::new()));
        }
        // What the receiver takes meanwhile does not count: the iterator might go on forever.
        // Slots of a shared bound are borrowed for one chunk at a time.
        let mut room = if self.is_bounded() {
            self.capacity()
        } else {
            let most = messages.size_hint().1;
            self.room_for(most.map_or(usize::MAX, |most| most.max(1)))
        };
        let mut chunk = Chunk {
            sender: self,
            taken: Vec::new(),
        };
        loop {
            if chunk.sender.is_closed() {
                return Err(closed(*sent, Vec::new()));
            }
            let wanted = room.min(CHUNK);
            let wanted = chunk.sender.room_for(wanted).min(wanted);
            if wanted == 0 {
                return Ok(false);
            }
            chunk.taken.extend(messages.take(wanted));
            let count = chunk.taken.len();
            let went = chunk.send();
            *sent += went;
            if went < count {
                return Err(closed(*sent, mem::take(&mut chunk.taken)));
            }
            room -= count;
            if count < wanted || messages.size_hint().1 == Some(0) {
                return Ok(true);
            }
        }
    }

    /// Sends all messages of an iterator, waiting for room as needed, and returns how many. An
    /// iterator whose [`size_hint`](Iterator::size_hint) does not show that it has ended is asked
    /// for the next message only once there is room.
    ///
    /// # Errors
    ///
    /// [`SendManyError`] if the channel is closed, or closes while it waits, with the messages that
    /// were taken from the iterator but not accepted.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, messages taken from the iterator have been sent, and the rest is
    /// still in the iterator: pass [`by_ref`](Iterator::by_ref) to keep it.
    pub async fn send_many(
        &mut self,
        messages: impl IntoIterator<Item = T>,
    ) -> Result<usize, SendManyError<T>> {
        let mut messages = messages.into_iter();
        let mut sent = 0;
        loop {
            self.cooperate(0).await;
            let before = sent;
            if self.send_some(&mut messages, &mut sent)? {
                self.budget.spend(sent - before);
                return Ok(sent);
            }
            self.budget.spend(sent - before);
            if self.wait_for_room(1).await.is_err() {
                return Err(SendManyError {
                    sent,
                    unsent: Vec::new(),
                });
            }
        }
    }

    /// Sends as many messages from the front of `messages` as the lane has room for, with one
    /// publication, removes them, and returns how many.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the channel is closed, with the number of messages sent before. The others
    /// stay in `messages`.
    pub fn try_send_vec(&mut self, messages: &mut Vec<T>) -> Result<usize, SendError<usize>> {
        if !self.flush_staged() || self.is_closed() {
            return Err(SendError(0));
        }
        let count = self.room_for(messages.len()).min(messages.len());
        self.credit -= count as u32;
        let sent = self.send_front(messages, count);
        if sent < count {
            Err(SendError(sent))
        } else {
            Ok(sent)
        }
    }

    /// Sends all of `messages`, waiting for room as needed, and returns how many.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the channel is closed, or closes while it waits, with the number of
    /// messages sent before. The others stay in `messages`.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, messages that were sent have been removed from `messages`, and the
    /// rest is still there.
    pub async fn send_vec(&mut self, messages: &mut Vec<T>) -> Result<usize, SendError<usize>> {
        let mut sent = 0;
        loop {
            self.cooperate(0).await;
            let went = self
                .try_send_vec(messages)
                .map_err(|SendError(went)| SendError(sent + went))?;
            self.budget.spend(went);
            sent += went;
            if messages.is_empty() {
                return Ok(sent);
            }
            if self.wait_for_room(1).await.is_err() {
                return Err(SendError(sent));
            }
        }
    }
}

/// What was taken from an iterator. Should the iterator panic, it is sent nevertheless. Slots that
/// were borrowed for more are returned when this is dropped.
struct Chunk<'a, T> {
    sender: &'a mut Sender<T>,
    /// At most as many as there is room for.
    taken: Vec<T>,
}

impl<T> Chunk<'_, T> {
    /// Sends all, unless the channel is closed, and returns how many.
    fn send(&mut self) -> usize {
        let count = self.taken.len();
        self.sender.credit -= count as u32;
        self.sender.send_front(&mut self.taken, count)
    }
}

impl<T> Drop for Chunk<'_, T> {
    fn drop(&mut self) {
        if self.taken.is_empty() && !self.sender.is_bounded() {
            return;
        }
        // The receiver's waker may panic as well.
        let mut all = WakeAll::default();
        if !self.taken.is_empty() {
            all.run(|| self.send());
        }
        all.run(|| self.sender.give_back());
        all.done();
    }
}
