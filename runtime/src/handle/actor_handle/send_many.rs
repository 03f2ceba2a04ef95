//! Sending many messages at once, with one wake-up for all.
//!
//! A batch is sent from the front of a vector, in which unsent messages stay, in order; or as clones
//! of the messages of a slice.

use lanemesh::{MailboxSender, Sender};

use crate::{
    actor::{Actor, High, Low},
    envelope::Envelope,
    error::SendError,
    handle::{ActorHandle, deadlock::wait_for_room},
};

/// Selects one of a handle's two lanes.
type LaneOf<A, M> = fn(&mut MailboxSender<High<A>, Low<A>>) -> &mut Sender<Envelope<M>>;

impl<A: Actor> ActorHandle<A> {
    /// Sends the high-priority messages that there is room for, with one wake-up for all. They are
    /// removed from the front of `messages`; the others stay.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`], with the number of messages sent, when the actor accepts no more
    /// messages.
    pub fn try_send_vec_high(
        &mut self,
        messages: &mut Vec<A::HighPriorityMsg>,
    ) -> Result<usize, SendError<usize>> {
        self.try_send_vec(MailboxSender::high, messages)
    }

    /// Sends all high-priority messages, and waits for room whenever the lane is full.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`], with the number of messages sent, when the actor accepts no more
    /// messages; [`SendError::Deadlock`] when waiting would never end. Unsent messages stay.
    ///
    /// # Cancel safety
    ///
    /// Messages that were sent are removed from the front of `messages`; the others stay.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lanemesh_runtime::{spawn, testing::Sink};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut handle, _child) = spawn(Sink::<&str, u64>::new());
    /// let mut orders = vec!["mute", "leave"];
    /// assert_eq!(handle.send_vec_high(&mut orders).await?, 2);
    /// assert!(orders.is_empty()); // and may be filled again
    /// # Ok(()) }
    /// ```
    pub async fn send_vec_high(
        &mut self,
        messages: &mut Vec<A::HighPriorityMsg>,
    ) -> Result<usize, SendError<usize>> {
        self.send_vec(MailboxSender::high, messages).await
    }

    /// Sends the low-priority messages that there is room for, with one wake-up for all. They are
    /// removed from the front of `messages`; the others stay.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`], with the number of messages sent, when the actor accepts no more
    /// messages.
    pub fn try_send_vec_low(
        &mut self,
        messages: &mut Vec<A::LowPriorityMsg>,
    ) -> Result<usize, SendError<usize>> {
        self.try_send_vec(MailboxSender::low, messages)
    }

    /// Sends all low-priority messages, and waits for room whenever the lane is full.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`], with the number of messages sent, when the actor accepts no more
    /// messages; [`SendError::Deadlock`] when waiting would never end. Unsent messages stay.
    ///
    /// # Cancel safety
    ///
    /// Messages that were sent are removed from the front of `messages`; the others stay.
    pub async fn send_vec_low(
        &mut self,
        messages: &mut Vec<A::LowPriorityMsg>,
    ) -> Result<usize, SendError<usize>> {
        self.send_vec(MailboxSender::low, messages).await
    }

    /// Sends clones of the first high-priority messages, as many as there is room for, with one
    /// wake-up for all. Returns how many.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`], with the number of messages sent, when the actor accepts no more
    /// messages.
    pub fn try_send_slice_high(
        &mut self,
        messages: &[A::HighPriorityMsg],
    ) -> Result<usize, SendError<usize>>
    where
        A::HighPriorityMsg: Clone,
    {
        self.try_send_slice(MailboxSender::high, messages)
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
        &mut self,
        messages: &[A::HighPriorityMsg],
    ) -> Result<usize, SendError<usize>>
    where
        A::HighPriorityMsg: Clone,
    {
        self.send_slice(MailboxSender::high, messages).await
    }

    /// Sends clones of the first low-priority messages, as many as there is room for, with one
    /// wake-up for all. Returns how many.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`], with the number of messages sent, when the actor accepts no more
    /// messages.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lanemesh_runtime::{builder, testing::Sink};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut handle, _child) = builder(Sink::<(), u64>::new).low_capacity(3).spawn();
    /// let numbers = [1, 2, 3, 4, 5];
    /// assert_eq!(handle.try_send_slice_low(&numbers)?, 3);
    /// assert_eq!(handle.send_slice_low(&numbers[3..]).await?, 2);
    /// # Ok(()) }
    /// ```
    pub fn try_send_slice_low(
        &mut self,
        messages: &[A::LowPriorityMsg],
    ) -> Result<usize, SendError<usize>>
    where
        A::LowPriorityMsg: Clone,
    {
        self.try_send_slice(MailboxSender::low, messages)
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
        &mut self,
        messages: &[A::LowPriorityMsg],
    ) -> Result<usize, SendError<usize>>
    where
        A::LowPriorityMsg: Clone,
    {
        self.send_slice(MailboxSender::low, messages).await
    }

    fn try_send_slice<M: Clone + Send + 'static>(
        &mut self,
        lane: LaneOf<A, M>,
        messages: &[M],
    ) -> Result<usize, SendError<usize>> {
        let sent = self.offer_slice(lane, messages)?;
        if sent < messages.len() {
            self.cell.count_rejected();
        }
        Ok(sent)
    }

    async fn send_slice<M: Clone + Send + 'static>(
        &mut self,
        lane: LaneOf<A, M>,
        messages: &[M],
    ) -> Result<usize, SendError<usize>> {
        let mut sent = 0;
        loop {
            match self.offer_slice(lane, &messages[sent..]) {
                Ok(count) => sent += count,
                Err(error) => return Err(error.map(|count| sent + count)),
            }
            if sent == messages.len() {
                return Ok(sent);
            }
            let lane = lane(&mut self.tx);
            let room = wait_for_room(&self.cell, |cx| lane.poll_reserve(cx)).await;
            room.map_err(|error| error.map(|()| sent))?;
        }
    }

    /// Sends clones of the messages that there is room for; the refusal of the others is not
    /// counted.
    fn offer_slice<M: Clone + Send + 'static>(
        &mut self,
        lane: LaneOf<A, M>,
        messages: &[M],
    ) -> Result<usize, SendError<usize>> {
        let (expires, mut sampled) = (self.expiry(), self.stamp());
        let lane = lane(&mut self.tx);
        let room = lane.capacity().saturating_sub(lane.len());
        let mut sent = 0;
        for chunk in messages[..room.min(messages.len())].chunks(CHUNK) {
            let mut fed = 0;
            for message in chunk {
                let envelope = Envelope {
                    expires,
                    sent: std::mem::take(&mut sampled),
                    message: message.clone(),
                };
                if lane.try_feed(envelope).is_err() {
                    break;
                }
                fed += 1;
            }
            if let Err(unsent) = lane.flush() {
                fed -= unsent.0.len();
            }
            sent += fed;
            if fed < chunk.len() {
                break;
            }
        }
        if sent < messages.len() && lane.is_closed() {
            return Err(SendError::Closed(sent));
        }
        Ok(sent)
    }

    /// Sends the messages that there is room for through one of the two lanes.
    fn try_send_vec<M: Send + 'static>(
        &mut self,
        lane: LaneOf<A, M>,
        messages: &mut Vec<M>,
    ) -> Result<usize, SendError<usize>> {
        let sent = self.offer_vec(lane, messages)?;
        if !messages.is_empty() {
            self.cell.count_rejected();
        }
        Ok(sent)
    }

    /// Sends the messages that there is room for; the refusal of the others is not counted.
    fn offer_vec<M: Send + 'static>(
        &mut self,
        lane: LaneOf<A, M>,
        messages: &mut Vec<M>,
    ) -> Result<usize, SendError<usize>> {
        // When the batch expires, and the send time if its first message is in the sample.
        let marks = (self.expiry(), self.stamp());
        self.count_batch();
        offer_vec(lane(&mut self.tx), marks, messages)
    }

    /// Sends all messages through one of the two lanes.
    async fn send_vec<M: Send + 'static>(
        &mut self,
        lane: LaneOf<A, M>,
        messages: &mut Vec<M>,
    ) -> Result<usize, SendError<usize>> {
        let mut sent = 0;
        loop {
            match self.offer_vec(lane, messages) {
                Ok(count) => sent += count,
                Err(error) => return Err(error.map(|count| sent + count)),
            }
            if messages.is_empty() {
                return Ok(sent);
            }
            let lane = lane(&mut self.tx);
            let room = wait_for_room(&self.cell, |cx| lane.poll_reserve(cx)).await;
            room.map_err(|error| error.map(|()| sent))?;
        }
    }
}

/// Messages that are pushed at a time.
const CHUNK: usize = 64;

fn offer_vec<M: Send + 'static>(
    lane: &mut Sender<Envelope<M>>,
    (expires, mut sampled): (u64, u64),
    messages: &mut Vec<M>,
) -> Result<usize, SendError<usize>> {
    let room = lane.capacity().saturating_sub(lane.len());
    let count = room.min(messages.len());
    let mut sent = 0;
    let mut unsent = Vec::new();
    // `drain` keeps the allocation of the vector, so that it can be filled again without another.
    let mut batch = messages.drain(..count);
    while sent < count && unsent.is_empty() {
        let mut fed = 0;
        for message in batch.by_ref().take(CHUNK) {
            let envelope = Envelope {
                expires,
                sent: std::mem::take(&mut sampled),
                message,
            };
            match lane.try_feed(envelope) {
                Ok(()) => fed += 1,
                Err(error) => {
                    unsent.push(error.into_inner());
                    break;
                }
            }
        }
        if let Err(error) = lane.flush() {
            fed -= error.0.len();
            unsent.splice(..0, error.0);
        }
        sent += fed;
    }
    if unsent.is_empty() {
        drop(batch);
    } else {
        let unsent = unsent.into_iter().map(|envelope| envelope.message);
        let back: Vec<M> = unsent.chain(batch).collect();
        messages.splice(..0, back);
    }
    if !messages.is_empty() && lane.is_closed() {
        return Err(SendError::Closed(sent));
    }
    Ok(sent)
}
