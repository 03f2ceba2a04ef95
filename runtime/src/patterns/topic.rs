//! Publish and subscribe, with a bounded lane for each subscriber.
//!
//! A publisher has its own lanes to all subscribers, so publishing takes no lock unless the list of
//! subscribers has changed. Each subscription has a policy for a full lane; unless it is to wait, a
//! slow subscriber does not delay the others. Messages are not retained for later subscribers.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use crate::{
    cell::current,
    error::SendError,
    handle::{AnyRecipient, Recipient},
    util::lock::lock,
};

/// What a publisher does when a subscriber's lane is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowPolicy {
    /// Wait for room. The slowest such subscriber limits the publisher.
    Wait,
    /// Drop the message for this subscriber, and count it.
    Drop,
    /// End the subscription.
    Disconnect,
}

/// The result of a publication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// The number of subscribers that got the message.
    pub queued: usize,
    /// The number of subscribers that missed it because their lane was full.
    pub dropped: usize,
    /// The number of subscriptions that ended with it: the subscriber was gone or too slow.
    pub ended: usize,
}

struct Subscriber<M> {
    key: u64,
    policy: SlowPolicy,
    recipient: AnyRecipient<M>,
    missed: Arc<AtomicU64>,
}

impl<M: 'static> Clone for Subscriber<M> {
    fn clone(&self) -> Self {
        Self {
            key: self.key,
            policy: self.policy,
            recipient: self.recipient.boxed_clone(),
            missed: self.missed.clone(),
        }
    }
}

struct Inner<M> {
    /// Incremented by every change of the list, from 1; a publisher starts at 0.
    version: AtomicU64,
    subscribers: Mutex<Vec<Subscriber<M>>>,
    dropped: AtomicU64,
}

/// A topic to publish and subscribe to. Clones refer to the same topic.
///
/// # Examples
///
/// ```
/// use lanemesh_runtime::{patterns::{SlowPolicy, Topic}, spawn, testing::Sink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let topic = Topic::new();
/// let mut inbox = topic.subscribe(8, SlowPolicy::Drop);
/// let (handle, _child) = spawn(Sink::<(), &str>::new());
/// topic.subscribe_recipient(handle.low_recipient(), SlowPolicy::Wait);
///
/// let mut publisher = topic.publisher();
/// let published = publisher.publish("feedback").await;
/// assert_eq!(published.queued, 2);
/// assert_eq!(inbox.recv().await, Some("feedback"));
/// # Ok(()) }
/// ```
pub struct Topic<M>(Arc<Inner<M>>);

impl<M: Clone + Send + 'static> Topic<M> {
    /// Makes a topic without subscribers.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            version: AtomicU64::new(1),
            subscribers: Mutex::new(Vec::new()),
            dropped: AtomicU64::new(0),
        }))
    }

    /// Subscribes with a lane of `capacity` messages for each publisher.
    ///
    /// # Panics
    ///
    /// If `capacity` is zero.
    pub fn subscribe(&self, capacity: usize, policy: SlowPolicy) -> Subscription<M> {
        let (sender, receiver) = lanemesh::channel(capacity);
        let (key, missed) = self.add(Box::new(sender), policy);
        Subscription {
            receiver,
            key,
            missed,
            topic: self.clone(),
        }
    }

    /// Subscribes a recipient, for example an actor. The subscription ends with the recipient, or
    /// by [`unsubscribe`](Self::unsubscribe) with the number that this returns. A subscription that
    /// an actor makes for itself in a hook, for example in `started`, ends with the incarnation.
    pub fn subscribe_recipient(
        &self,
        recipient: impl Recipient<M> + 'static,
        policy: SlowPolicy,
    ) -> u64 {
        let own = current().filter(|actor| recipient.target() == Some(actor.id()));
        let (key, _) = self.add(Box::new(recipient), policy);
        if let Some(actor) = own {
            let topic = Arc::downgrade(&self.0);
            actor.end_with_incarnation(move || {
                if let Some(topic) = topic.upgrade() {
                    Self(topic).unsubscribe(key);
                }
            });
        }
        key
    }

    /// Ends a subscription. Queued messages stay with the subscriber.
    pub fn unsubscribe(&self, key: u64) {
        let mut subscribers = lock(&self.0.subscribers);
        // Dropped unlocked: it may be the last handle of an actor.
        let ended: Vec<_> = subscribers
            .extract_if(.., |subscriber| subscriber.key == key)
            .collect();
        self.bump();
        drop(subscribers);
        drop(ended);
    }

    /// A publisher with its own lanes to all subscribers.
    pub fn publisher(&self) -> Publisher<M> {
        Publisher {
            topic: self.clone(),
            version: 0,
            lanes: Vec::new(),
        }
    }

    /// The number of subscribers. Those that are gone count until the next publication.
    pub fn subscribers(&self) -> usize {
        lock(&self.0.subscribers).len()
    }

    /// The number of messages dropped at full lanes, over all subscribers.
    pub fn dropped(&self) -> u64 {
        // ORDERING: a statistic.
        self.0.dropped.load(Ordering::Relaxed)
    }

    fn add(&self, recipient: AnyRecipient<M>, policy: SlowPolicy) -> (u64, Arc<AtomicU64>) {
        let missed = Arc::new(AtomicU64::new(0));
        let mut subscribers = lock(&self.0.subscribers);
        let key = self.bump();
        subscribers.push(Subscriber {
            key,
            policy,
            recipient,
            missed: missed.clone(),
        });
        (key, missed)
    }

    /// Called under the lock. The number is unique, so it also serves as a key.
    fn bump(&self) -> u64 {
        // ORDERING: Release pairs with the Acquire in `refresh`; the list itself is read under
        // the lock, so this only makes the change visible soon.
        self.0.version.fetch_add(1, Ordering::Release) + 1
    }
}

impl<M: Clone + Send + 'static> Default for Topic<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> Clone for Topic<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M> fmt::Debug for Topic<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("subscribers", &lock(&self.0.subscribers).len())
            .finish_non_exhaustive()
    }
}

/// Publishes to a topic through its own lanes. Messages of one publisher arrive in order.
pub struct Publisher<M> {
    topic: Topic<M>,
    version: u64,
    lanes: Vec<Subscriber<M>>,
}

impl<M: Clone + Send + 'static> Publisher<M> {
    /// Publishes to all subscribers, waiting for those whose policy is to wait. There is no
    /// deadlock detection: actors that wait for each other's full lanes in this way wait forever.
    ///
    /// # Cancel safety
    ///
    /// If cancelled, some subscribers have got the message and others have not.
    pub async fn publish(&mut self, message: M) -> Published {
        self.refresh();
        let mut published = Published::default();
        let mut ended = Vec::new();
        for subscriber in &mut self.lanes {
            loop {
                match subscriber.recipient.try_send(message.clone()) {
                    Ok(()) => published.queued += 1,
                    Err(SendError::Full(_)) if subscriber.policy == SlowPolicy::Wait => {
                        let ready = poll_fn(|cx| subscriber.recipient.poll_ready(cx)).await;
                        if ready.is_ok() {
                            continue;
                        }
                        ended.push(subscriber.key);
                    }
                    Err(SendError::Full(_)) if subscriber.policy == SlowPolicy::Drop => {
                        published.dropped += 1;
                        Self::miss(&self.topic, subscriber);
                    }
                    Err(_) => ended.push(subscriber.key),
                }
                break;
            }
        }
        published.ended = ended.len();
        self.end(&ended);
        published
    }

    /// Publishes without waiting: a full lane counts as a dropped message, or ends the
    /// subscription if its policy is to disconnect.
    pub fn try_publish(&mut self, message: M) -> Published {
        self.refresh();
        let mut published = Published::default();
        let mut ended = Vec::new();
        for subscriber in &mut self.lanes {
            match subscriber.recipient.try_send(message.clone()) {
                Ok(()) => published.queued += 1,
                Err(SendError::Full(_)) if subscriber.policy != SlowPolicy::Disconnect => {
                    published.dropped += 1;
                    Self::miss(&self.topic, subscriber);
                }
                Err(_) => ended.push(subscriber.key),
            }
        }
        published.ended = ended.len();
        self.end(&ended);
        published
    }

    fn miss(topic: &Topic<M>, subscriber: &Subscriber<M>) {
        // ORDERING: statistics.
        subscriber.missed.fetch_add(1, Ordering::Relaxed);
        topic.0.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn refresh(&mut self) {
        // ORDERING: Acquire pairs with the Release in `bump`.
        let version = self.topic.0.version.load(Ordering::Acquire);
        if version == self.version {
            return;
        }
        let subscribers = lock(&self.topic.0.subscribers);
        self.version = version;
        // Existing lanes stay, so that messages in them keep their order with those sent next.
        self.lanes
            .retain(|lane| subscribers.iter().any(|known| known.key == lane.key));
        for subscriber in subscribers.iter() {
            if !self.lanes.iter().any(|lane| lane.key == subscriber.key) {
                self.lanes.push(subscriber.clone());
            }
        }
    }

    fn end(&mut self, ended: &[u64]) {
        if ended.is_empty() {
            return;
        }
        self.lanes.retain(|lane| !ended.contains(&lane.key));
        let mut subscribers = lock(&self.topic.0.subscribers);
        subscribers.retain(|subscriber| !ended.contains(&subscriber.key));
        self.topic.bump();
    }
}

impl<M: Clone + Send + 'static> Clone for Publisher<M> {
    fn clone(&self) -> Self {
        self.topic.publisher()
    }
}

impl<M> fmt::Debug for Publisher<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("lanes", &self.lanes.len())
            .finish_non_exhaustive()
    }
}

/// The receiving end of a subscription. Dropping it unsubscribes.
pub struct Subscription<M: Clone + Send + 'static> {
    receiver: lanemesh::Receiver<M>,
    key: u64,
    missed: Arc<AtomicU64>,
    topic: Topic<M>,
}

impl<M: Clone + Send + 'static> Subscription<M> {
    /// The next message. None when the subscription has ended, by [`Topic::unsubscribe`] or for
    /// being slow, and all publishers have noticed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn recv(&mut self) -> Option<M> {
        self.receiver.recv().await
    }

    /// The next message, if one is queued.
    pub fn try_recv(&mut self) -> Option<M> {
        self.receiver.try_recv().ok()
    }

    /// Polls for the next message, as [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<M>> {
        Pin::new(&mut self.receiver).poll_recv(cx)
    }

    /// The number of messages that this subscriber has missed.
    pub fn missed(&self) -> u64 {
        // ORDERING: a statistic.
        self.missed.load(Ordering::Relaxed)
    }
}

impl<M: Clone + Send + 'static> Drop for Subscription<M> {
    fn drop(&mut self) {
        self.topic.unsubscribe(self.key);
    }
}

impl<M: Clone + Send + 'static> fmt::Debug for Subscription<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("missed", &self.missed())
            .finish_non_exhaustive()
    }
}
