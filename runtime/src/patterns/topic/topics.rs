//! A topic: where subscribers and publishers meet.

use std::{fmt, sync::Arc};

use crate::{
    handle::Recipient,
    patterns::topic::{
        policy::SlowPolicy, publisher::Publisher, subscribers::Subscribers,
        subscription::Subscription,
    },
};

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
pub struct Topic<M>(pub(super) Arc<Subscribers<M>>);

impl<M: Clone + Send + 'static> Topic<M> {
    /// Makes a topic without subscribers. Messages are not kept for later subscribers.
    pub fn new() -> Self {
        Self(Arc::new(Subscribers::new(false)))
    }

    /// Makes a topic without subscribers that keeps the last value: a later subscriber gets it
    /// first.
    ///
    /// All publishers and subscribers of such a topic share one order, and the last value is its
    /// end. So each publication takes the topic's lock, under which messages are cloned and sent;
    /// while one waits for a slow subscriber ([`SlowPolicy::Wait`]), others wait for their turn.
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh_runtime::patterns::{SlowPolicy, Topic};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let temperature = Topic::keeping_last();
    /// let mut publisher = temperature.publisher();
    /// publisher.publish(20).await;
    /// publisher.publish(21).await;
    /// let mut late = temperature.subscribe(8, SlowPolicy::Drop);
    /// publisher.publish(22).await;
    /// assert_eq!((late.recv().await, late.recv().await), (Some(21), Some(22)));
    /// assert_eq!(temperature.last(), Some(22));
    /// # }
    /// ```
    pub fn keeping_last() -> Self {
        Self(Arc::new(Subscribers::new(true)))
    }

    /// Subscribes with a lane of `capacity` messages for each publisher; for all publishers
    /// together if the topic keeps its last value.
    ///
    /// # Panics
    ///
    /// If `capacity` is zero.
    pub fn subscribe(&self, capacity: usize, policy: SlowPolicy) -> Subscription<M> {
        let (sender, receiver) = lanemesh::channel(capacity);
        let (key, missed) = self.0.add(Box::new(sender), policy);
        Subscription::new(receiver, key, missed, self.0.clone())
    }

    /// Subscribes a recipient, for example an actor. The subscription ends with the recipient, or
    /// by [`unsubscribe`](Self::unsubscribe) with the number that this returns. A subscription that
    /// an actor makes for itself in a hook, for example in `started`, ends with the incarnation,
    /// and does not keep the actor running. One that another makes for it outlasts restarts and
    /// keeps it running, unless the recipient is [weak](Recipient::weak).
    ///
    /// Messages of one publisher arrive in order within one subscription. An actor that subscribes
    /// itself in `started` has a new one after a restart: it does not get what was published while it
    /// was down, and what was queued before the crash may come after what is published then. To keep
    /// the order across restarts, and to miss nothing, let whoever starts the actor subscribe it.
    pub fn subscribe_recipient(
        &self,
        recipient: impl Recipient<M> + 'static,
        policy: SlowPolicy,
    ) -> u64 {
        self.0.add(Box::new(recipient), policy).0
    }

    /// Ends a subscription. Queued messages stay with the subscriber.
    pub fn unsubscribe(&self, key: u64) {
        self.0.remove(&[key]);
    }

    /// A publisher with its own lanes to all subscribers.
    pub fn publisher(&self) -> Publisher<M> {
        Publisher::new(self.0.clone())
    }

    /// The value that was published last, if the topic keeps it.
    pub fn last(&self) -> Option<M> {
        self.0.last()
    }

    /// The number of subscribers. Those that are gone count until the next publication.
    pub fn subscribers(&self) -> usize {
        self.0.len()
    }

    /// The number of messages dropped at full lanes, over all subscribers.
    pub fn dropped(&self) -> u64 {
        self.0.dropped()
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

impl<M: Clone + Send + 'static> fmt::Debug for Topic<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("subscribers", &self.0.len())
            .finish_non_exhaustive()
    }
}
