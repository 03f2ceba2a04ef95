//! Sending many messages through the lanes that clones share.
//!
//! A batch is sent from the front of a vector; unsent messages stay in it, in order. Messages of
//! other clones may come in between.

use std::pin::pin;

use lanemesh::{SharedSender, TrySendError};

use crate::{
    actor::Actor,
    cell::ActorCell,
    envelope::Envelope,
    error::SendError,
    handle::{SharedHandle, deadlock::wait_for_room},
};

impl<A: Actor> SharedHandle<A> {
    /// Sends the high-priority messages that there is room for. They are removed from the front of
    /// `messages`; the others stay.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`], with the number of messages sent, when the actor accepts no more
    /// messages.
    pub fn try_send_vec_high(
        &self,
        messages: &mut Vec<A::HighPriorityMsg>,
    ) -> Result<usize, SendError<usize>> {
        self.batch(messages).offer(self.tx.high(), &self.cell)
    }

    /// Sends all high-priority messages, and waits for room whenever the lane is full.
    ///
    /// # Errors
    ///
    /// As [`ActorHandle::send_vec_high`](crate::ActorHandle::send_vec_high).
    ///
    /// # Cancel safety
    ///
    /// Messages that were sent are removed from the front of `messages`; the others stay.
    pub async fn send_vec_high(
        &self,
        messages: &mut Vec<A::HighPriorityMsg>,
    ) -> Result<usize, SendError<usize>> {
        send_all(self.batch(messages), self.tx.high(), &self.cell).await
    }

    /// Sends the low-priority messages that there is room for. They are removed from the front of
    /// `messages`; the others stay.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`], with the number of messages sent, when the actor accepts no more
    /// messages.
    pub fn try_send_vec_low(
        &self,
        messages: &mut Vec<A::LowPriorityMsg>,
    ) -> Result<usize, SendError<usize>> {
        self.batch(messages).offer(self.tx.low(), &self.cell)
    }

    /// Sends all low-priority messages, and waits for room whenever the lane is full.
    ///
    /// # Errors
    ///
    /// As [`ActorHandle::send_vec_low`](crate::ActorHandle::send_vec_low).
    ///
    /// # Cancel safety
    ///
    /// Messages that were sent are removed from the front of `messages`; the others stay.
    pub async fn send_vec_low(
        &self,
        messages: &mut Vec<A::LowPriorityMsg>,
    ) -> Result<usize, SendError<usize>> {
        send_all(self.batch(messages), self.tx.low(), &self.cell).await
    }

    /// Sends clones of the first high-priority messages, as many as there is room for. Returns how
    /// many.
    ///
    /// # Errors
    ///
    /// As [`try_send_vec_high`](Self::try_send_vec_high).
    pub fn try_send_slice_high(
        &self,
        messages: &[A::HighPriorityMsg],
    ) -> Result<usize, SendError<usize>>
    where
        A::HighPriorityMsg: Clone,
    {
        self.try_send_vec_high(&mut messages.to_vec())
    }

    /// Sends clones of all high-priority messages, and waits for room whenever the lane is full.
    ///
    /// # Errors
    ///
    /// As [`send_vec_high`](Self::send_vec_high).
    ///
    /// # Cancel safety
    ///
    /// Some of the first messages have been sent, and it is not known how many:
    /// [`send_vec_high`](Self::send_vec_high) tells.
    pub async fn send_slice_high(
        &self,
        messages: &[A::HighPriorityMsg],
    ) -> Result<usize, SendError<usize>>
    where
        A::HighPriorityMsg: Clone,
    {
        self.send_vec_high(&mut messages.to_vec()).await
    }

    /// Sends clones of the first low-priority messages, as many as there is room for. Returns how
    /// many.
    ///
    /// # Errors
    ///
    /// As [`try_send_vec_low`](Self::try_send_vec_low).
    pub fn try_send_slice_low(
        &self,
        messages: &[A::LowPriorityMsg],
    ) -> Result<usize, SendError<usize>>
    where
        A::LowPriorityMsg: Clone,
    {
        self.try_send_vec_low(&mut messages.to_vec())
    }

    /// Sends clones of all low-priority messages, and waits for room whenever the lane is full.
    ///
    /// # Errors
    ///
    /// As [`send_vec_low`](Self::send_vec_low).
    ///
    /// # Cancel safety
    ///
    /// Some of the first messages have been sent, and it is not known how many:
    /// [`send_vec_low`](Self::send_vec_low) tells.
    pub async fn send_slice_low(
        &self,
        messages: &[A::LowPriorityMsg],
    ) -> Result<usize, SendError<usize>>
    where
        A::LowPriorityMsg: Clone,
    {
        self.send_vec_low(&mut messages.to_vec()).await
    }

    fn batch<'a, M>(&self, messages: &'a mut Vec<M>) -> Batch<'a, M> {
        messages.reverse();
        Batch {
            messages,
            sent: 0,
            expires: self.expiry(),
            stamp: self.stamp(),
        }
    }
}

/// Messages that are sent from the front, which is the end of the vector until this is dropped.
struct Batch<'a, M> {
    messages: &'a mut Vec<M>,
    sent: usize,
    /// When the messages expire.
    expires: u64,
    /// The send time, if the first message is in the sample.
    stamp: u64,
}

impl<M> Batch<'_, M> {
    /// Sends the first message, or puts it back. Does nothing if there is none.
    fn send_one(
        &mut self,
        send: impl FnOnce(Envelope<M>) -> Result<(), TrySendError<Envelope<M>>>,
    ) -> Result<(), TrySendError<()>> {
        let Some(message) = self.messages.pop() else {
            return Ok(());
        };
        let envelope = Envelope {
            expires: self.expires,
            sent: self.stamp,
            message,
        };
        match send(envelope) {
            Ok(()) => {
                self.stamp = 0;
                self.sent += 1;
                Ok(())
            }
            Err(error) => Err(error.map(|envelope| self.messages.push(envelope.message))),
        }
    }

    /// Sends what there is room for. Returns whether that was all.
    fn send_some(&mut self, lane: &SharedSender<Envelope<M>>) -> Result<bool, SendError<usize>> {
        while !self.messages.is_empty() {
            match self.send_one(|envelope| lane.try_send(envelope)) {
                Ok(()) => {}
                Err(TrySendError::Full(())) => return Ok(false),
                Err(TrySendError::Closed(())) => return Err(SendError::Closed(self.sent)),
            }
        }
        Ok(true)
    }

    fn offer(
        mut self,
        lane: &SharedSender<Envelope<M>>,
        cell: &ActorCell,
    ) -> Result<usize, SendError<usize>> {
        if !self.send_some(lane)? {
            cell.count_rejected();
        }
        Ok(self.sent)
    }
}

impl<M> Drop for Batch<'_, M> {
    fn drop(&mut self) {
        self.messages.reverse();
    }
}

async fn send_all<M: Send + 'static>(
    mut batch: Batch<'_, M>,
    lane: &SharedSender<Envelope<M>>,
    cell: &std::sync::Arc<ActorCell>,
) -> Result<usize, SendError<usize>> {
    while !batch.send_some(lane)? {
        let sent = batch.sent;
        let mut reserve = pin!(lane.reserve());
        let room = wait_for_room(cell, |cx| reserve.as_mut().poll(cx)).await;
        let permit = room.map_err(|error| error.map(|()| sent))?;
        let sent = batch.send_one(|envelope| permit.send(envelope).map_err(TrySendError::from));
        if sent.is_err() {
            return Err(SendError::Closed(batch.sent));
        }
    }
    Ok(batch.sent)
}
