//! What the journal is told and asked, and its sending end.

use std::sync::Arc;

use lanemesh::MailboxSender;
use tokio::sync::{oneshot, watch};

use crate::{
    engine::{Hands, Meta, QueueStats, Refused, Stored, Taken},
    journal::{letters::DeadLetter, mutant, stats::StoreStats},
    options::QueueOptions,
};

/// New messages, on the way to the disk.
pub(crate) struct Put {
    pub(crate) queue: u16,
    pub(crate) class: u8,
    pub(crate) items: Items,
    pub(crate) reply: oneshot::Sender<PutOutcome>,
}

pub(crate) enum Items {
    One(Meta, Vec<u8>),
    Many(Vec<(Meta, Vec<u8>)>),
}

/// What was stored, in order, and why the rest was not.
#[derive(Debug)]
pub(crate) struct PutOutcome {
    pub(crate) stored: Vec<Stored>,
    pub(crate) refused: Option<StoreError>,
}

/// Why the store did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The queue has as many messages or bytes as it may have, or the disk is full. It heals when
    /// messages are handled or the disk has room.
    Full,
    /// The log needs another file, and the disk makes none, for the reason given: the directory was moved or
    /// is not writable any more, or the process has too many files open. It heals when the disk makes one.
    Disk(Arc<str>),
    /// The message does not fit into a segment of the log.
    TooLarge,
    /// The codec cannot encode the message.
    Encode(String),
    /// An earlier write or sync failed, for the reason given: what is on disk is not known, so
    /// nothing is stored any more until the store is opened again.
    Poisoned(Arc<str>),
    /// The store is closed.
    Closed,
    /// An actor that lives has the queue.
    InUse,
    /// The function of [`DurableBuilder::spawn_by`](crate::DurableBuilder::spawn_by) has returned an actor that it
    /// did not start by the builder that it got, or one with another keeper
    /// ([`Builder::keeper`](lanemesh_runtime::Builder::keeper)): what that actor handles would not be noted.
    OtherActor,
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => f.write_str("the queue or the disk is full"),
            Self::Disk(error) => write!(f, "the log needs another file, and gets none: {error}"),
            Self::TooLarge => f.write_str("the message does not fit into a segment"),
            Self::Encode(error) => write!(f, "the message cannot be encoded: {error}"),
            Self::Poisoned(error) => {
                write!(f, "the store is poisoned by an earlier failure: {error}")
            }
            Self::Closed => f.write_str("the store is closed"),
            Self::InUse => f.write_str("another actor has the queue"),
            Self::OtherActor => f.write_str(
                "the actor was not started by the builder that `spawn_by` has passed on, or got another keeper",
            ),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::Full,
            Refused::Disk(text) => Self::Disk(text),
            Refused::TooLarge => Self::TooLarge,
            Refused::Poisoned(text) => Self::Poisoned(text),
        }
    }
}

/// Why a message did not reach its handler.
pub(crate) enum Undelivered {
    /// There is no room now.
    Full,
    /// The handler is gone.
    Closed,
    /// This program cannot read it.
    Undecodable,
}

/// Who handles the messages of a queue.
pub(crate) trait Sink: Send {
    /// Passes a message on without waiting.
    fn deliver(&mut self, message: Taken) -> Result<(), Undelivered>;

    /// Whether it will never take a message again.
    fn is_closed(&self) -> bool;

    /// A message that it has got comes for the second or a later time.
    fn redelivered(&mut self, id: u64, attempt: u32);

    /// A message of its queue is a dead letter.
    fn died(&mut self, id: u64);

    /// The present numbers of its queue and its store; those of queues are left out of the latter.
    fn publish(&mut self, queue: &QueueStats, store: &StoreStats);
}

/// Messages that are handed to whoever takes them out of a queue. Those that nobody gets, since the
/// future was dropped, are released.
pub(crate) struct HandOver {
    messages: Vec<Taken>,
    poisoned: Option<Arc<str>>,
    client: Client,
}

impl HandOver {
    pub(super) fn new(messages: Vec<Taken>, poisoned: Option<Arc<str>>, client: Client) -> Self {
        Self {
            messages,
            poisoned,
            client,
        }
    }

    pub(crate) fn accept(mut self) -> Result<Vec<Taken>, StoreError> {
        match self.poisoned.take() {
            Some(poison) => Err(StoreError::Poisoned(poison)),
            None if mutant::is_on("accepted_and_released") => Ok(self.messages.clone()),
            None => Ok(std::mem::take(&mut self.messages)),
        }
    }
}

impl Drop for HandOver {
    fn drop(&mut self) {
        if mutant::is_on("hand_over_kept") {
            return;
        }
        for message in self.messages.drain(..) {
            self.client.tell(Upkeep::Release(message.id));
        }
    }
}

/// A queue, and which actor has it: what is told of an earlier one may come late, by another lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) queue: u16,
    /// Counts the actors of the store, from 1; 0 is none.
    pub(crate) number: u64,
}

/// A queue that an actor has got. Unless it is accepted, since the future was dropped, the next one can have it.
pub(crate) struct Claimed {
    claim: Claim,
    /// None if it is only looked at.
    client: Option<Client>,
}

impl Claimed {
    pub(super) fn new(claim: Claim, client: Option<Client>) -> Self {
        Self { claim, client }
    }

    pub(crate) fn accept(mut self) -> Claim {
        self.client = None;
        self.claim
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if let Some(client) = &mut self.client {
            client.tell(Upkeep::Detach(self.claim));
        }
    }
}

/// What became of messages, and questions.
pub(crate) enum Upkeep {
    Handled(u64),
    Failed(u64),
    Release(u64),
    /// Acknowledges what was taken out of a queue; the answer is how many of them were in flight.
    Ack(u16, Vec<u64>, oneshot::Sender<usize>),
    Retry(u16, u64, Option<u64>, oneshot::Sender<bool>),
    Reject(u16, u64, oneshot::Sender<Result<bool, StoreError>>),
    Queue(
        String,
        QueueOptions,
        bool,
        oneshot::Sender<Result<Claimed, StoreError>>,
    ),
    /// Answered when it is done: who asks for the queue later may come by another lane.
    Attach(Claim, Box<dyn Sink>, oneshot::Sender<()>),
    /// The actor has ended.
    Detach(Claim),
    /// Nobody sends to the actor any more.
    Abandon(Claim),
    Take(u16, usize, oneshot::Sender<HandOver>),
    DeadLetters(Option<String>, u64, usize, oneshot::Sender<Vec<DeadLetter>>),
    Requeue(u64, oneshot::Sender<Result<bool, StoreError>>),
    DeleteDead(u64, oneshot::Sender<Result<bool, StoreError>>),
    Stats(oneshot::Sender<StoreStats>),
    Close,
}

/// The sending end: clones are producers of their own.
#[derive(Clone)]
pub(crate) struct Client {
    tx: MailboxSender<Upkeep, Put>,
    pub(crate) hands: Hands,
    /// Closed when the directory is free.
    ended: watch::Receiver<()>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(
        tx: MailboxSender<Upkeep, Put>,
        hands: Hands,
        ended: watch::Receiver<()>,
    ) -> Self {
        Self { tx, hands, ended }
    }

    /// Tells the journal something, without waiting.
    pub(crate) fn tell(&mut self, upkeep: Upkeep) {
        // A journal that has ended needs to know nothing: the words say what became of messages.
        let _ = self.tx.try_send_high(upkeep);
    }

    /// Asks the journal something.
    pub(crate) async fn ask<R>(
        &mut self,
        question: impl FnOnce(oneshot::Sender<R>) -> Upkeep,
    ) -> Result<R, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.tell(question(reply));
        answer.await.map_err(|_| StoreError::Closed)
    }

    /// Closes the store. Returns when the directory is free, whoever has closed it.
    pub(crate) async fn close(&mut self) {
        self.tell(Upkeep::Close);
        // Nothing is ever sent: this is the end of the sender.
        while self.ended.changed().await.is_ok() {}
    }

    /// Sends new messages, and waits for room.
    pub(crate) async fn put(&mut self, put: Put) -> Result<(), StoreError> {
        match self.tx.send_low(put).await {
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::Closed),
        }
    }
}
