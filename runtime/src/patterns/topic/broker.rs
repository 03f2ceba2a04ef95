//! A broker: topics of one message type, by name.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
};

use crate::{
    handle::Recipient,
    patterns::topic::{
        policy::{Published, SlowPolicy},
        publisher::Publisher,
        subscription::Subscription,
        topics::Topic,
    },
    util::lock::lock,
};

/// Entries up to which a table of names is not swept.
const SMALL: usize = 32;

/// Topics by name, for messages of one type. Clones refer to the same topics; each publishes
/// through its own lanes.
///
/// A topic begins with its first subscriber, its first publisher or its first value to be kept. It
/// goes, some time later, when it has none of these any more. So names may come and go. A broker is
/// a value: two brokers with the same names are strangers.
///
/// # Examples
///
/// ```
/// use lanemesh_runtime::{patterns::{Broker, SlowPolicy}, spawn, testing::Sink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mut broker = Broker::new();
/// let (store, _child) = spawn(Sink::<(), u64>::new());
/// broker.subscribe_recipient("orders.paid", store.low_recipient(), SlowPolicy::Wait);
/// let mut screen = broker.subscribe("orders.paid", 8, SlowPolicy::Drop);
///
/// assert_eq!(broker.publish("orders.paid", 17).await.queued, 2);
/// assert_eq!(broker.publish("orders.lost", 18).await.queued, 0); // nobody listens
/// assert_eq!(screen.recv().await, Some(17));
/// store.idle().await;
/// assert_eq!(store.stats().low, 1);
/// # }
/// ```
pub struct Broker<M: Clone + Send + 'static> {
    shared: Arc<Shared<M>>,
    publishers: Table<Publisher<M>>,
}

struct Shared<M> {
    keeps_last: bool,
    topics: Mutex<Table<Topic<M>>>,
}

/// Values by name; those no longer used go when the table has doubled.
struct Table<T> {
    by_name: HashMap<Arc<str>, T>,
    sweep_at: usize,
}

impl<T> Table<T> {
    fn new() -> Self {
        Self {
            by_name: HashMap::new(),
            sweep_at: SMALL,
        }
    }

    fn insert(&mut self, name: Arc<str>, value: T, is_unused: impl Fn(&T) -> bool) -> &mut T {
        if self.by_name.len() >= self.sweep_at {
            self.by_name.retain(|_, value| !is_unused(value));
            self.sweep_at = SMALL.max(2 * self.by_name.len());
        }
        self.by_name.entry(name).insert_entry(value).into_mut()
    }
}

impl<M: Clone + Send + 'static> Broker<M> {
    /// Makes a broker without topics.
    pub fn new() -> Self {
        Self::over(false)
    }

    /// Makes a broker whose topics keep their last value ([`Topic::keeping_last`]). A topic with a
    /// value stays until [`forget`](Self::forget).
    ///
    /// # Examples
    ///
    /// ```
    /// use lanemesh_runtime::patterns::{Broker, SlowPolicy};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let mut prices = Broker::keeping_last();
    /// prices.publish("gold", 3).await;
    /// let mut late = prices.subscribe("gold", 8, SlowPolicy::Drop);
    /// assert_eq!(late.recv().await, Some(3));
    /// assert_eq!(prices.last("gold"), Some(3));
    /// # }
    /// ```
    pub fn keeping_last() -> Self {
        Self::over(true)
    }

    fn over(keeps_last: bool) -> Self {
        Self {
            shared: Arc::new(Shared {
                keeps_last,
                topics: Mutex::new(Table::new()),
            }),
            publishers: Table::new(),
        }
    }

    /// The topic with this name.
    pub fn topic(&self, name: &str) -> Topic<M> {
        let mut topics = lock(&self.shared.topics);
        if let Some(topic) = topics.by_name.get(name) {
            return topic.clone();
        }
        let topic = match self.shared.keeps_last {
            true => Topic::keeping_last(),
            false => Topic::new(),
        };
        // Nobody else can get hold of a topic that only the table has.
        topics.insert(name.into(), topic.clone(), |topic| {
            Arc::strong_count(&topic.0) == 1 && topic.0.is_unused()
        });
        topic
    }

    /// Subscribes to a topic: [`Topic::subscribe`].
    ///
    /// # Panics
    ///
    /// If `capacity` is zero.
    pub fn subscribe(&self, name: &str, capacity: usize, policy: SlowPolicy) -> Subscription<M> {
        self.topic(name).subscribe(capacity, policy)
    }

    /// Subscribes a recipient, for example an actor, to a topic: [`Topic::subscribe_recipient`].
    /// It returns the number for [`unsubscribe`](Self::unsubscribe).
    pub fn subscribe_recipient(
        &self,
        name: &str,
        recipient: impl Recipient<M> + 'static,
        policy: SlowPolicy,
    ) -> u64 {
        self.topic(name).subscribe_recipient(recipient, policy)
    }

    /// Ends a subscription to a topic. Queued messages stay with the subscriber.
    pub fn unsubscribe(&self, name: &str, key: u64) {
        if let Some(topic) = self.existing(name) {
            topic.unsubscribe(key);
        }
    }

    /// A publisher for one topic. It saves the look-up of the name.
    pub fn publisher(&self, name: &str) -> Publisher<M> {
        self.topic(name).publisher()
    }

    /// Publishes to a topic: [`Publisher::publish`].
    ///
    /// # Cancel safety
    ///
    /// If cancelled, some subscribers have got the message and others have not.
    pub async fn publish(&mut self, name: &str, message: M) -> Published {
        match self.cached(name) {
            Some(publisher) => publisher.publish(message).await,
            None => Published::default(),
        }
    }

    /// Publishes to a topic without waiting: [`Publisher::try_publish`].
    pub fn try_publish(&mut self, name: &str, message: M) -> Published {
        match self.cached(name) {
            Some(publisher) => publisher.try_publish(message),
            None => Published::default(),
        }
    }

    /// The value that was published last to a topic, if the broker keeps last values.
    pub fn last(&self, name: &str) -> Option<M> {
        self.existing(name)?.last()
    }

    /// Drops the last value of a topic. Subscriptions stay.
    pub fn forget(&self, name: &str) {
        if let Some(topic) = self.existing(name) {
            topic.0.forget_last();
        }
    }

    /// The names of the topics, in no order. A topic that nobody uses any more may be among them.
    pub fn names(&self) -> Vec<Arc<str>> {
        lock(&self.shared.topics).by_name.keys().cloned().collect()
    }

    fn existing(&self, name: &str) -> Option<Topic<M>> {
        lock(&self.shared.topics).by_name.get(name).cloned()
    }

    /// The publisher for a topic; none if a message would reach nobody.
    fn cached(&mut self, name: &str) -> Option<&mut Publisher<M>> {
        if !self.publishers.by_name.contains_key(name) {
            let topic = match self.shared.keeps_last {
                true => self.topic(name),
                false => self.existing(name)?,
            };
            let unused = Publisher::is_unused;
            self.publishers
                .insert(name.into(), topic.publisher(), unused);
        }
        self.publishers.by_name.get_mut(name)
    }
}

impl<M: Clone + Send + 'static> Default for Broker<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Clone + Send + 'static> Clone for Broker<M> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            publishers: Table::new(),
        }
    }
}

impl<M: Clone + Send + 'static> fmt::Debug for Broker<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("topics", &lock(&self.shared.topics).by_name.len())
            .finish_non_exhaustive()
    }
}
