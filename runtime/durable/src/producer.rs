//! Sending to a queue: receipts, and the terms of a message.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    codec::DurableMessage,
    engine::{Meta, Stored, now},
    journal::{Claim, Client, Items, Put, PutOutcome, StoreError, Upkeep},
    wait::block_on,
};

/// What a receipt says: the message is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The identity of the message; of a duplicate that of the message with its key, or of the last one of its
    /// producer.
    pub id: u64,
    /// Whether it was stored earlier: its producer and number, or its key, were known.
    pub is_duplicate: bool,
}

impl From<Stored> for Ticket {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::New(id) => Self {
                id,
                is_duplicate: false,
            },
            Stored::Known(id) => Self {
                id,
                is_duplicate: true,
            },
        }
    }
}

/// A message that was not stored, and why.
#[derive(PartialEq, Eq)]
pub struct TellError<M> {
    /// The message.
    pub message: M,
    /// Why it was not stored. After [`StoreError::Poisoned`] and [`StoreError::Closed`] it may have reached the
    /// disk all the same.
    pub error: StoreError,
}

impl<M> fmt::Debug for TellError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TellError")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl<M> fmt::Display for TellError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<M> std::error::Error for TellError<M> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// The rest of a batch that was not stored, and why.
#[derive(PartialEq, Eq)]
pub struct TellManyError<M> {
    /// The messages that were stored, in order.
    pub stored: Vec<Ticket>,
    /// Those that were not, in order.
    pub rest: Vec<M>,
    /// Why the first of them was not.
    pub error: StoreError,
}

impl<M> fmt::Debug for TellManyError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TellManyError")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl<M> fmt::Display for TellManyError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stored, rest) = (self.stored.len(), self.rest.len());
        write!(
            f,
            "{rest} of {} messages were not stored: {}",
            stored + rest,
            self.error
        )
    }
}

impl<M> std::error::Error for TellManyError<M> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// The terms of a message. Default: it never expires, is delivered at once, and is not looked for.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lanemesh_durable::Terms;
///
/// let terms = Terms::new()
///     .deliver_after(Duration::from_secs(60))
///     .expires_in(Duration::from_secs(3600))
///     .key("invoice 7");
/// assert_ne!(terms, Terms::new());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    expires_in: Option<Duration>,
    deliver_after: Option<Duration>,
    number: Option<u64>,
    key: Option<Vec<u8>>,
}

impl Terms {
    /// The default terms.
    pub fn new() -> Self {
        Self::default()
    }

    /// A message that was not passed on by then becomes a dead letter. The time is that of the wall
    /// clock, since it holds over restarts.
    pub fn expires_in(mut self, time: Duration) -> Self {
        self.expires_in = Some(time);
        self
    }

    /// The message is passed on after this time, behind those that are ready by then. It holds over
    /// restarts, by the wall clock: one that is set forward makes it earlier. One that is set back makes it later only
    /// where it is set while the store is closed.
    pub fn deliver_after(mut self, time: Duration) -> Self {
        self.deliver_after = Some(time);
        self
    }

    /// The number of the message, of a producer with an
    /// [`identity`](Producer::set_identity). Numbers of one producer and class must rise: a message with the number
    /// of the last one that was stored, or less, is a duplicate, as long as the producer is remembered
    /// ([`producer_window`](crate::QueueOptions::producer_window)). So send a number again only if none above it was sent: a
    /// message that was refused while later ones were under way needs a new number. A
    /// [`Mailbox`](crate::Mailbox) has no producers, and leaves it out: use a [`key`](Self::key) there.
    pub fn number(mut self, number: u64) -> Self {
        self.number = Some(number);
        self
    }

    /// A key. As long as it is remembered
    /// ([`key_window`](crate::QueueOptions::key_window)), a message of the same queue with the same key is a duplicate.
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(crate) fn meta(self, type_name: &str, version: u32, identity: Option<u128>) -> Meta {
        let at = now();
        let after =
            |time: Duration| at.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        Meta {
            type_name: type_name.to_owned(),
            version,
            at,
            expires: self.expires_in.map(after),
            due: self.deliver_after.map(after),
            from: identity.zip(self.number),
            key: self.key,
        }
    }
}

/// Tells the journal when nobody sends to an actor any more.
#[derive(Debug)]
pub(crate) struct Audience {
    pub(crate) client: Client,
    pub(crate) claim: Claim,
}

impl Drop for Audience {
    fn drop(&mut self) {
        self.client.tell(Upkeep::Abandon(self.claim));
    }
}

/// Sends messages of one class to a queue.
///
/// It is a producer of its own: its messages are stored, and handled for the first time, in the
/// order in which it sent them. A clone is another producer.
pub struct Producer<M> {
    client: Client,
    queue: u16,
    class: u8,
    identity: Option<u128>,
    // Before nothing else: when the last one is dropped, the actor may end.
    _audience: Option<Arc<Audience>>,
    messages: PhantomData<fn(M)>,
}

impl<M> Clone for Producer<M> {
    /// The clone has no [`identity`](Producer::set_identity): two producers must not share their numbers.
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            queue: self.queue,
            class: self.class,
            identity: None,
            _audience: self._audience.clone(),
            messages: PhantomData,
        }
    }
}

impl<M> fmt::Debug for Producer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("queue", &self.queue)
            .field("is_high", &(self.class == 0))
            .finish_non_exhaustive()
    }
}

impl<M: DurableMessage> Producer<M> {
    pub(crate) fn new(
        client: Client,
        queue: u16,
        class: u8,
        audience: Option<Arc<Audience>>,
    ) -> Self {
        Self {
            client,
            queue,
            class,
            identity: None,
            _audience: audience,
            messages: PhantomData,
        }
    }

    /// Who sends: with [`Terms::number`] a message that is sent again, after a restart or a receipt
    /// that did not come, is stored once. It must be the same after a restart and nobody else's.
    pub fn set_identity(&mut self, identity: u128) {
        self.identity = Some(identity);
    }

    /// Stores a message, and waits until it is on disk.
    ///
    /// # Errors
    ///
    /// [`TellError`], with the message.
    ///
    /// # Cancel safety
    ///
    /// A cancelled tell may have stored the message or not.
    pub async fn tell(&mut self, message: M) -> Result<Ticket, TellError<M>> {
        self.tell_with(message, Terms::default()).await
    }

    /// As [`tell`](Self::tell), with terms.
    ///
    /// # Errors
    ///
    /// As [`tell`](Self::tell).
    ///
    /// # Cancel safety
    ///
    /// As [`tell`](Self::tell).
    pub async fn tell_with(&mut self, message: M, terms: Terms) -> Result<Ticket, TellError<M>> {
        self.submit_with(message, terms).await?.await
    }

    /// Sends a message to the disk, and returns its receipt to wait for later. It waits only while
    /// many messages of this producer are on their way.
    ///
    /// # Errors
    ///
    /// [`TellError`], with the message, if it cannot be encoded or the store is closed.
    ///
    /// # Cancel safety
    ///
    /// A cancelled submit has stored nothing, and its message is dropped.
    pub async fn submit(&mut self, message: M) -> Result<Receipt<M>, TellError<M>> {
        self.submit_with(message, Terms::default()).await
    }

    /// As [`submit`](Self::submit), with terms.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    ///
    /// # Cancel safety
    ///
    /// As [`submit`](Self::submit).
    pub async fn submit_with(
        &mut self,
        message: M,
        terms: Terms,
    ) -> Result<Receipt<M>, TellError<M>> {
        let (put, answer) = match self.prepare(&message, terms) {
            Ok(prepared) => prepared,
            Err(error) => return Err(TellError { message, error }),
        };
        match self.client.put(put).await {
            Ok(()) => Ok(Receipt {
                message: Some(message),
                answer,
            }),
            Err(error) => Err(TellError { message, error }),
        }
    }

    /// As [`tell`](Self::tell), for a thread that runs no tasks.
    ///
    /// # Errors
    ///
    /// As [`tell`](Self::tell).
    pub fn blocking_tell(&mut self, message: M) -> Result<Ticket, TellError<M>> {
        block_on(self.tell(message))
    }

    /// As [`tell_with`](Self::tell_with), for a thread that runs no tasks.
    ///
    /// # Errors
    ///
    /// As [`tell`](Self::tell).
    pub fn blocking_tell_with(&mut self, message: M, terms: Terms) -> Result<Ticket, TellError<M>> {
        block_on(self.tell_with(message, terms))
    }

    /// Stores messages with one receipt for all, and waits until they are on disk.
    ///
    /// # Errors
    ///
    /// [`TellManyError`]: the first that was not stored, and all after it, are given back.
    ///
    /// # Cancel safety
    ///
    /// A cancelled call may have stored some of the messages.
    pub async fn tell_many(&mut self, messages: Vec<M>) -> Result<Vec<Ticket>, TellManyError<M>> {
        let messages = messages.into_iter();
        let messages = messages.map(|message| (message, Terms::default()));
        self.tell_many_with(messages.collect()).await
    }

    /// As [`tell_many`](Self::tell_many), each with its terms. Since none is stored after one that was refused, the
    /// rest can be sent again with the same [numbers](Terms::number).
    ///
    /// # Errors
    ///
    /// As [`tell_many`](Self::tell_many).
    ///
    /// # Cancel safety
    ///
    /// As [`tell_many`](Self::tell_many).
    pub async fn tell_many_with(
        &mut self,
        messages: Vec<(M, Terms)>,
    ) -> Result<Vec<Ticket>, TellManyError<M>> {
        let (reply, answer) = oneshot::channel();
        let mut items = Vec::with_capacity(messages.len());
        let (messages, terms): (Vec<M>, Vec<Terms>) = messages.into_iter().unzip();
        for (message, terms) in messages.iter().zip(terms) {
            match self.encode(message, terms) {
                Ok(item) => items.push(item),
                Err(error) => {
                    return Err(TellManyError {
                        stored: Vec::new(),
                        rest: messages,
                        error,
                    });
                }
            }
        }
        let put = Put {
            queue: self.queue,
            class: self.class,
            items: Items::Many(items),
            reply,
        };
        if let Err(error) = self.client.put(put).await {
            return Err(TellManyError {
                stored: Vec::new(),
                rest: messages,
                error,
            });
        }
        let Ok(outcome) = answer.await else {
            let error = StoreError::Closed;
            return Err(TellManyError {
                stored: Vec::new(),
                rest: messages,
                error,
            });
        };
        let stored: Vec<Ticket> = outcome.stored.into_iter().map(Ticket::from).collect();
        match outcome.refused {
            None => Ok(stored),
            Some(error) => {
                let rest = messages.into_iter().skip(stored.len()).collect();
                Err(TellManyError {
                    stored,
                    rest,
                    error,
                })
            }
        }
    }

    fn prepare(
        &self,
        message: &M,
        terms: Terms,
    ) -> Result<(Put, oneshot::Receiver<PutOutcome>), StoreError> {
        let (meta, payload) = self.encode(message, terms)?;
        let (reply, answer) = oneshot::channel();
        let put = Put {
            queue: self.queue,
            class: self.class,
            items: Items::One(meta, payload),
            reply,
        };
        Ok((put, answer))
    }

    fn encode(&self, message: &M, terms: Terms) -> Result<(Meta, Vec<u8>), StoreError> {
        let mut payload = Vec::with_capacity(64);
        message
            .encode(&mut payload)
            .map_err(|error| StoreError::Encode(error.to_string()))?;
        Ok((terms.meta(M::NAME, M::VERSION, self.identity), payload))
    }
}

fn ticket<M>(outcome: PutOutcome, message: M) -> Result<Ticket, TellError<M>> {
    match (outcome.stored.first(), outcome.refused) {
        (Some(stored), None) => Ok((*stored).into()),
        (_, error) => Err(TellError {
            message,
            error: error.unwrap_or(StoreError::Closed),
        }),
    }
}

/// The receipt of a message: ready when the message is on disk.
///
/// Dropping it changes nothing: the message is stored or not.
#[must_use = "a message is on disk when its receipt is ready"]
pub struct Receipt<M> {
    message: Option<M>,
    answer: oneshot::Receiver<PutOutcome>,
}

impl<M> Unpin for Receipt<M> {}

impl<M> fmt::Debug for Receipt<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").finish_non_exhaustive()
    }
}

impl<M> Future for Receipt<M> {
    type Output = Result<Ticket, TellError<M>>;

    /// # Panics
    ///
    /// If it is polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        let message = self.message.take().expect("a receipt is ready once");
        Poll::Ready(match answer {
            Ok(outcome) => ticket(outcome, message),
            Err(_) => Err(TellError {
                message,
                error: StoreError::Closed,
            }),
        })
    }
}
