//! The sending end: a durable mailbox for each actor on another node, and the task that empties it.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lanemesh_durable::{
    Durable, DurableExt, DurableHandle, DurableMessage, Mailbox, QueueOptions, StoreError,
    TellError, Terms, Ticket, actor::LowOnly,
};
use lanemesh_net::Node;
use lanemesh_runtime::{Child, builder, testing::Sink};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    options::OutboxOptions,
    sender::{self, Progress, Route},
};

/// The queue that says who sends; whoever has its actor has all outboxes of the store.
const CLAIM: &str = "lanemesh/outboxes";
/// The queue that has the identity of the store.
const IDENTITY: &str = "lanemesh/outboxes/identity";

/// What nobody sends: the actor that has the queue [`CLAIM`] is there to have it.
#[derive(Serialize, Deserialize)]
struct Nothing;

impl DurableMessage for Nothing {
    const NAME: &'static str = "lanemesh/nothing";
}

type Claim = DurableHandle<Sink<(), Nothing>, LowOnly>;

/// The outboxes of a store: one for each actor on another node. A clone is the same.
///
/// When the last clone and the last [`Outbox`] are dropped, nothing more is sent until they are opened again.
#[derive(Clone)]
pub struct Outboxes(Arc<Inside>);

struct Inside {
    store: Durable,
    node: Node,
    options: OutboxOptions,
    identity: u128,
    open: Mutex<HashMap<(String, String), Open>>,
    is_closing: watch::Sender<bool>,
    claim: Arc<(Claim, Child)>,
}

struct Open {
    mailbox: Mailbox,
    kind: &'static str,
    progress: watch::Receiver<Progress>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.is_closing.send_replace(true);
    }
}

impl Outboxes {
    /// Opens the outboxes of a store, which are sent by a node. What was not confirmed before is sent when its outbox
    /// is opened by [`to`](Self::to).
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] if they are open; others of the store.
    pub async fn open(store: &Durable, node: &Node) -> Result<Self, StoreError> {
        Self::open_with(store, node, OutboxOptions::default()).await
    }

    /// As [`open`](Self::open), with settings.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_with(
        store: &Durable,
        node: &Node,
        options: OutboxOptions,
    ) -> Result<Self, StoreError> {
        let claim = builder(Sink::<(), Nothing>::new).durable_low(store, CLAIM);
        let claim = claim.spawn().await?;
        let identity = identity(store).await?;
        Ok(Self(Arc::new(Inside {
            store: store.clone(),
            node: node.clone(),
            options,
            identity,
            open: Mutex::default(),
            is_closing: watch::Sender::new(false),
            claim: Arc::new(claim),
        })))
    }

    /// The outbox of the inbox that the node `node` exports under a name. Whether there is such a node does not
    /// matter: messages wait for it.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] if it is open for messages of another type; others of the store.
    pub async fn to<M: DurableMessage>(
        &self,
        node: &str,
        inbox: &str,
    ) -> Result<Outbox<M>, StoreError> {
        let inside = &self.0;
        // Names of queues are texts, and a node's name may have any bytes.
        let queue = format!("outbox/{}/{node}/{inbox}", node.len());
        let options = QueueOptions::default()
            .max_messages(inside.options.max_messages)
            .max_attempts(u32::MAX) // it is the links that fail
            .in_flight(inside.options.batch);
        let mailbox = inside.store.mailbox(&queue, options).await?;
        let mut open = inside.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = match open.entry((node.to_owned(), inbox.to_owned())) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => {
                let route = Route {
                    mailbox: mailbox.clone(),
                    node: inside.node.clone(),
                    target: node.into(),
                    inbox: inbox.into(),
                    kind: M::NAME,
                    producer: inside.identity,
                    options: inside.options.clone(),
                };
                let progress = sender::start(route, &inside.is_closing, inside.claim.clone());
                place.insert(Open {
                    mailbox,
                    kind: M::NAME,
                    progress,
                })
            }
        };
        if open.kind != M::NAME {
            return Err(StoreError::InUse);
        }
        Ok(Outbox {
            mailbox: open.mailbox.clone(),
            progress: open.progress.clone(),
            _all: self.clone(),
            messages: PhantomData,
        })
    }
}

/// A number that no other store has, and that this one keeps.
async fn identity(store: &Durable) -> Result<u128, StoreError> {
    let options = QueueOptions::default().max_attempts(u32::MAX);
    let mut mailbox = store.mailbox(IDENTITY, options).await?;
    let stats = mailbox.stats().await?;
    if stats.low.ready + stats.low.in_flight == 0 {
        let mut random = [0; 16];
        let filled = getrandom::fill(&mut random);
        filled.map_err(|error| StoreError::Encode(error.to_string()))?;
        let stored = mailbox.enqueue_low(random.to_vec()).await;
        stored.map_err(|error| error.error)?;
    }
    let taken = mailbox.dequeue(1).await?;
    let taken = taken.first().ok_or(StoreError::Closed)?;
    // It stays: it is never acknowledged.
    mailbox.retry(taken.id, Some(Duration::ZERO)).await?;
    let bytes = <[u8; 16]>::try_from(&*taken.payload);
    let bytes = bytes.map_err(|_| StoreError::Encode("this is no identity".to_owned()))?;
    // The last bit tells the classes apart.
    Ok(u128::from_le_bytes(bytes) & !1)
}

impl fmt::Debug for Outboxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outboxes")
            .field("node", self.0.node.info())
            .finish_non_exhaustive()
    }
}

/// The numbers of an outbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxStats {
    /// Messages that are not confirmed.
    pub queued: usize,
    /// Messages that were confirmed since it was opened.
    pub confirmed: u64,
    /// Messages that the inbox will never take since it was opened. They are dead letters of the store.
    pub rejected: u64,
    /// Failures in a row.
    pub failures: u32,
    /// The last failure.
    pub last_failure: Option<Arc<str>>,
}

/// Sends messages to an inbox on another node: what it has stored arrives at least once. Clones are the same outbox.
pub struct Outbox<M> {
    mailbox: Mailbox,
    progress: watch::Receiver<Progress>,
    _all: Outboxes,
    messages: PhantomData<fn(M)>,
}

impl<M: DurableMessage> Outbox<M> {
    /// Stores a message, and waits until it is on disk. From then on it is sent until it is confirmed.
    ///
    /// Messages of one outbox and class arrive in the order in which they were stored.
    ///
    /// # Errors
    ///
    /// [`TellError`], with the message.
    ///
    /// # Cancel safety
    ///
    /// A cancelled tell may have stored the message or not.
    pub async fn tell(&mut self, message: M) -> Result<Ticket, TellError<M>> {
        self.put(message, false).await
    }

    /// As [`tell`](Self::tell), in the high class: before what waits in the low one, here and on the link.
    ///
    /// # Errors
    ///
    /// As [`tell`](Self::tell).
    ///
    /// # Cancel safety
    ///
    /// As [`tell`](Self::tell).
    pub async fn tell_high(&mut self, message: M) -> Result<Ticket, TellError<M>> {
        self.put(message, true).await
    }

    async fn put(&mut self, message: M, is_high: bool) -> Result<Ticket, TellError<M>> {
        let mut bytes = M::VERSION.to_le_bytes().to_vec();
        if let Err(error) = message.encode(&mut bytes) {
            let error = StoreError::Encode(error.to_string());
            return Err(TellError { message, error });
        }
        if bytes.len() > self._all.0.node.config().max_frame / 2 {
            let error = StoreError::TooLarge; // for the link
            return Err(TellError { message, error });
        }
        let stored = self
            .mailbox
            .enqueue_with(bytes, is_high, Terms::new())
            .await;
        stored.map_err(|TellError { error, .. }| TellError { message, error })
    }

    /// Waits until everything that was stored before is confirmed, or is a dead letter.
    ///
    /// # Errors
    ///
    /// [`StoreError::Closed`] when nothing is sent any more.
    pub async fn sent(&mut self) -> Result<(), StoreError> {
        loop {
            self.progress.mark_unchanged();
            if self.mailbox.stats().await.map(|stats| queued(&stats))? == 0 {
                return Ok(());
            }
            let changed = self.progress.changed().await;
            changed.map_err(|_| StoreError::Closed)?;
        }
    }

    /// Its numbers.
    ///
    /// # Errors
    ///
    /// [`StoreError::Closed`].
    pub async fn stats(&self) -> Result<OutboxStats, StoreError> {
        let stats = self.mailbox.stats().await?;
        let progress = self.progress.borrow().clone();
        Ok(OutboxStats {
            queued: queued(&stats),
            confirmed: progress.confirmed,
            rejected: progress.rejected,
            failures: progress.failures,
            last_failure: progress.last_failure,
        })
    }
}

fn queued(stats: &lanemesh_durable::QueueStats) -> usize {
    let classes = [&stats.high, &stats.low];
    let queued = classes.map(|class| class.ready + class.in_flight + class.delayed);
    queued.iter().sum()
}

impl<M> Clone for Outbox<M> {
    fn clone(&self) -> Self {
        Self {
            mailbox: self.mailbox.clone(),
            progress: self.progress.clone(),
            _all: self._all.clone(),
            messages: PhantomData,
        }
    }
}

impl<M> fmt::Debug for Outbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}
