//! A durable queue for those without actors: enqueue, dequeue, acknowledge.

mod blocking;

use std::{io, path::Path, thread, time::Duration};

use tokio::sync::oneshot;

use crate::{
    engine::{OpenError, QueueStats, Taken},
    journal::{DeadLetter, HandOver, Items, Put, PutOutcome, StoreError, Upkeep},
    log::writer::RESERVE,
    options::{QueueOptions, StoreOptions},
    producer::{TellError, Terms, Ticket},
    store::Durable,
};

/// The queue of [`Mailbox::open`].
const NAME: &str = "mailbox";

/// A message that was taken out of a mailbox. It comes again, with its next attempt, when the
/// process ends before it was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// The identity of the message, by which it is acknowledged.
    pub id: u64,
    /// Whether it was sent in the high class.
    pub is_high: bool,
    /// How often it was taken, this time included.
    pub attempt: u32,
    /// When it was stored, in milliseconds since 1970.
    pub stored_at: u64,
    /// Its bytes.
    pub payload: Vec<u8>,
}

impl From<Taken> for Delivery {
    fn from(taken: Taken) -> Self {
        Self {
            id: taken.id,
            is_high: taken.class == 0,
            attempt: taken.attempt,
            stored_at: taken.meta.at,
            payload: taken.payload,
        }
    }
}

/// A durable queue of bytes with two priorities. Clones are the same queue.
///
/// Its futures run on any executor; the `blocking` methods are for threads that run no tasks. Take as many as
/// [`QueueOptions::in_flight`] at a time; each message is acknowledged, sent back, or rejected by its
/// identity.
///
/// # Examples
///
/// ```
/// use lanemesh_durable::Mailbox;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// let mut mailbox = Mailbox::open(directory).await?;
/// mailbox.enqueue_low(b"data".to_vec()).await?; // on disk
/// mailbox.enqueue_high(b"command".to_vec()).await?;
/// for message in mailbox.dequeue(16).await? {
///     println!("{}: {:?}", message.id, message.payload);
///     mailbox.ack(&[message.id]).await?;
/// }
/// assert_eq!(mailbox.stats().await?.low.ready, 0);
/// mailbox.close().await;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Mailbox {
    store: Durable,
    queue: u16,
}

impl Durable {
    /// A queue for those without actors; the settings are the queue's from now on, also for those who have it
    /// already. The queue of an actor can be opened, too, but then each of its messages goes to one of the two, and
    /// what is enqueued here has no type, so it becomes a dead letter when the actor gets it.
    ///
    /// # Errors
    ///
    /// [`StoreError`], if the queue is new and cannot be stored.
    pub async fn mailbox(&self, name: &str, options: QueueOptions) -> Result<Mailbox, StoreError> {
        let mut client = self.client.clone();
        let claim = client
            .ask(|reply| Upkeep::Queue(name.to_owned(), options, false, reply))
            .await??
            .accept();
        Ok(Mailbox::new(self.clone(), claim.queue))
    }
}

/// Why the queue of a store that was just opened cannot be used.
fn not_opened(error: StoreError) -> OpenError {
    OpenError::Io(match error {
        // Nothing is queued that could be handled to make room.
        StoreError::Full => io::Error::new(
            io::ErrorKind::StorageFull,
            format!(
                "the disk is full: a new mailbox begins with {} files of {} bytes",
                RESERVE + 1,
                StoreOptions::default().segment_size
            ),
        ),
        error => io::Error::other(error),
    })
}

impl Mailbox {
    fn new(store: Durable, queue: u16) -> Self {
        Self { store, queue }
    }

    /// Opens the mailbox in a directory of its own, or makes one. A thread reads the log meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Durable::open`].
    ///
    /// # Cancel safety
    ///
    /// A cancelled call opens the store and closes it again.
    pub async fn open(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        let directory = directory.as_ref().to_owned();
        let (reply, answer) = oneshot::channel();
        thread::Builder::new()
            .name("lanemesh-open".to_owned())
            .spawn(move || drop(reply.send(Durable::open(directory))))?;
        let store = answer
            .await
            .map_err(|_| io::Error::other("the thread that opened the store panicked"))??;
        let opened = store.mailbox(NAME, QueueOptions::default()).await;
        opened.map_err(not_opened)
    }

    /// The store of the mailbox.
    pub fn store(&self) -> &Durable {
        &self.store
    }

    fn prepare(
        &self,
        payload: &[u8],
        is_high: bool,
        terms: Terms,
    ) -> (Put, oneshot::Receiver<PutOutcome>) {
        let (reply, answer) = oneshot::channel();
        let put = Put {
            queue: self.queue,
            class: u8::from(!is_high),
            items: Items::One(terms.meta("", 0, None), payload.to_vec()),
            reply,
        };
        (put, answer)
    }

    /// Stores a message of high priority, and waits until it is on disk.
    ///
    /// # Errors
    ///
    /// [`TellError`], with the message.
    ///
    /// # Cancel safety
    ///
    /// A cancelled call may have stored the message or not.
    pub async fn enqueue_high(
        &mut self,
        payload: impl Into<Vec<u8>>,
    ) -> Result<Ticket, TellError<Vec<u8>>> {
        self.enqueue_with(payload, true, Terms::default()).await
    }

    /// Stores a message of low priority, and waits until it is on disk.
    ///
    /// # Errors
    ///
    /// As [`enqueue_high`](Self::enqueue_high).
    ///
    /// # Cancel safety
    ///
    /// As [`enqueue_high`](Self::enqueue_high).
    pub async fn enqueue_low(
        &mut self,
        payload: impl Into<Vec<u8>>,
    ) -> Result<Ticket, TellError<Vec<u8>>> {
        self.enqueue_with(payload, false, Terms::default()).await
    }

    /// Stores a message with terms, and waits until it is on disk.
    ///
    /// # Errors
    ///
    /// As [`enqueue_high`](Self::enqueue_high).
    ///
    /// # Cancel safety
    ///
    /// As [`enqueue_high`](Self::enqueue_high).
    pub async fn enqueue_with(
        &mut self,
        payload: impl Into<Vec<u8>>,
        is_high: bool,
        terms: Terms,
    ) -> Result<Ticket, TellError<Vec<u8>>> {
        let payload = payload.into();
        let (put, answer) = self.prepare(&payload, is_high, terms);
        let outcome = match self.store.client.put(put).await {
            Ok(()) => answer.await.map_err(|_| StoreError::Closed),
            Err(error) => Err(error),
        };
        ticket(outcome, payload)
    }

    /// Takes up to `limit` messages, those of high priority first; waits until there is one. None
    /// are taken for a limit of 0.
    ///
    /// # Errors
    ///
    /// [`StoreError::Closed`] and [`StoreError::Poisoned`].
    ///
    /// # Cancel safety
    ///
    /// A cancelled call has taken nothing.
    pub async fn dequeue(&mut self, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let queue = self.queue;
        let taken = self
            .store
            .client
            .ask(|reply| Upkeep::Take(queue, limit, reply))
            .await;
        accept(taken)
    }

    /// Acknowledges messages: they never come again, unless the machine loses power before the next
    /// sync. Returns how many of them were taken out of this mailbox, by it or a clone, and not acknowledged
    /// before.
    ///
    /// # Errors
    ///
    /// [`StoreError::Closed`].
    pub async fn ack(&mut self, ids: &[u64]) -> Result<usize, StoreError> {
        let (queue, ids) = (self.queue, ids.to_vec());
        self.store
            .client
            .ask(|reply| Upkeep::Ack(queue, ids, reply))
            .await
    }

    /// Sends a message back: it comes again after `delay`, by default that of the queue, or is a
    /// dead letter if it was taken often enough. Returns whether it was taken and not acknowledged
    /// before.
    ///
    /// # Errors
    ///
    /// [`StoreError::Closed`].
    pub async fn retry(&mut self, id: u64, delay: Option<Duration>) -> Result<bool, StoreError> {
        let delay = delay.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        let queue = self.queue;
        self.store
            .client
            .ask(|reply| Upkeep::Retry(queue, id, delay, reply))
            .await
    }

    /// Makes a message that was taken a dead letter. Returns whether it was taken and not
    /// acknowledged before.
    ///
    /// # Errors
    ///
    /// [`StoreError::Closed`] and [`StoreError::Poisoned`]; [`StoreError::Full`] and [`StoreError::Disk`] if the log has not
    /// even room for this: then the message is still taken, and can be acknowledged or sent back.
    pub async fn reject(&mut self, id: u64) -> Result<bool, StoreError> {
        let queue = self.queue;
        self.store
            .client
            .ask(|reply| Upkeep::Reject(queue, id, reply))
            .await?
    }

    /// The dead letters of this mailbox: at most `limit`, from the identity `from` on.
    ///
    /// # Errors
    ///
    /// [`StoreError::Closed`].
    pub async fn dead_letters(
        &self,
        from: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let name = self.stats().await?.name;
        self.store.dead_letters(Some(&name), from, limit).await
    }

    /// The numbers of this mailbox.
    ///
    /// # Errors
    ///
    /// [`StoreError::Closed`].
    pub async fn stats(&self) -> Result<QueueStats, StoreError> {
        let mut stats = self.store.stats().await?;
        Ok(stats.queues.swap_remove(self.queue as usize))
    }

    /// Closes the store of this mailbox ([`Durable::close`]).
    pub async fn close(self) {
        self.store.close().await;
    }
}

fn ticket(
    outcome: Result<PutOutcome, StoreError>,
    message: Vec<u8>,
) -> Result<Ticket, TellError<Vec<u8>>> {
    match outcome {
        Ok(outcome) => match (outcome.stored.first(), outcome.refused) {
            (Some(stored), None) => Ok((*stored).into()),
            (_, error) => Err(TellError {
                message,
                error: error.unwrap_or(StoreError::Closed),
            }),
        },
        Err(error) => Err(TellError { message, error }),
    }
}

fn accept(taken: Result<HandOver, StoreError>) -> Result<Vec<Delivery>, StoreError> {
    let messages = taken?.accept()?;
    Ok(messages.into_iter().map(Delivery::from).collect())
}
