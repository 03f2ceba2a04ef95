//! The list of subscribers, shared by a topic, its publishers and its subscriptions.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use tokio::sync::Notify;

use crate::{
    cell::current,
    error::SendError,
    handle::{AnyRecipient, Recipient},
    patterns::topic::policy::{Published, SlowPolicy},
    util::lock::lock,
};

/// Subscribers up to which the list is not swept.
const SMALL: usize = 16;

pub(super) struct Subscriber<M> {
    pub(super) key: u64,
    pub(super) policy: SlowPolicy,
    pub(super) recipient: AnyRecipient<M>,
    pub(super) missed: Arc<AtomicU64>,
    /// As long as it exists, the incarnation that has subscribed ends the subscription.
    _ends: Option<Arc<()>>,
}

impl<M: 'static> Subscriber<M> {
    /// The same subscriber with a lane of its own, for a publisher.
    pub(super) fn lane(&self) -> Self {
        Self {
            key: self.key,
            policy: self.policy,
            recipient: self.recipient.boxed_clone(),
            missed: self.missed.clone(),
            _ends: None,
        }
    }
}

pub(super) struct Subscribers<M> {
    /// Incremented by every change of the list, from 1; a publisher starts at 0.
    version: AtomicU64,
    list: Mutex<List<M>>,
    dropped: AtomicU64,
    /// Present in a topic that keeps its last value: it wakes those who wait for their turn.
    turn: Option<Notify>,
}

struct List<M> {
    subscribers: Vec<Subscriber<M>>,
    /// The list is swept when it has grown to this length, so that subscribers which have ended do
    /// not accumulate in a topic without publications.
    sweep_at: usize,
    last: Option<M>,
    /// A publication waits for a slow subscriber; the next one must not overtake it.
    is_taken: bool,
    /// Of that publication: it must notice when the subscriber is removed.
    waiting: Option<Waker>,
}

impl<M: Clone + Send + 'static> Subscribers<M> {
    pub(super) fn new(keeps_last: bool) -> Self {
        Self {
            version: AtomicU64::new(1),
            list: Mutex::new(List {
                subscribers: Vec::new(),
                sweep_at: SMALL,
                last: None,
                is_taken: false,
                waiting: None,
            }),
            dropped: AtomicU64::new(0),
            turn: keeps_last.then(Notify::new),
        }
    }

    pub(super) fn keeps_last(&self) -> bool {
        self.turn.is_some()
    }

    pub(super) fn last(&self) -> Option<M> {
        lock(&self.list).last.clone()
    }

    /// Drops the last value.
    pub(super) fn forget_last(&self) {
        let last = lock(&self.list).last.take();
        drop(last); // unlocked: it is foreign code
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.list).subscribers.len()
    }

    /// Whether nobody subscribes and there is no last value. Looks for subscribers that have ended.
    pub(super) fn is_unused(&self) -> bool {
        let mut list = lock(&self.list);
        let ended = self.sweep(&mut list);
        let is_unused = list.subscribers.is_empty() && list.last.is_none();
        drop(list);
        drop(ended);
        is_unused
    }

    pub(super) fn dropped(&self) -> u64 {
        // ORDERING: a statistic.
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn miss(&self, subscriber: &Subscriber<M>) {
        // ORDERING: statistics.
        subscriber.missed.fetch_add(1, Ordering::Relaxed);
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    // --- the list -----------------------------------------------------------------------------

    /// Adds a subscriber, which gets the last value first. Returns its key and how many messages
    /// it has missed.
    pub(super) fn add(
        self: &Arc<Self>,
        recipient: AnyRecipient<M>,
        policy: SlowPolicy,
    ) -> (u64, Arc<AtomicU64>) {
        let own = current().filter(|actor| recipient.target() == Some(actor.id()));
        // What an actor does for itself does not keep it running.
        let recipient = match &own {
            Some(_) => recipient.weak().unwrap_or(recipient),
            None => recipient,
        };
        let missed = Arc::new(AtomicU64::new(0));
        let ends = own.as_ref().map(|_| Arc::new(()));
        let mut list = lock(&self.list);
        let mut ended = Vec::new();
        if list.subscribers.len() >= list.sweep_at {
            ended = self.sweep(&mut list);
            list.sweep_at = SMALL.max(2 * list.subscribers.len());
        }
        let key = self.bump();
        let mut subscriber = Subscriber {
            key,
            policy,
            recipient,
            missed: missed.clone(),
            _ends: ends.clone(),
        };
        if let Some(last) = &list.last
            && subscriber.recipient.try_send(last.clone()).is_err()
        {
            self.miss(&subscriber);
        }
        list.subscribers.push(subscriber);
        drop(list);
        drop(ended);
        if let (Some(actor), Some(ends)) = (own, ends) {
            let subscribers = Arc::downgrade(self);
            actor.end_with_incarnation(Arc::downgrade(&ends), move || {
                if let Some(subscribers) = Weak::upgrade(&subscribers) {
                    subscribers.remove(&[key]);
                }
            });
        }
        (key, missed)
    }

    /// Removes subscribers.
    pub(super) fn remove(&self, keys: &[u64]) {
        let mut list = lock(&self.list);
        // Dropped unlocked: it may be the last handle of an actor.
        let ended: Vec<_> = list
            .subscribers
            .extract_if(.., |subscriber| keys.contains(&subscriber.key))
            .collect();
        self.bump();
        let waiting = list.waiting.take();
        drop(list);
        drop(ended);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    /// Takes out the subscribers that have ended, to be dropped unlocked.
    fn sweep(&self, list: &mut List<M>) -> Vec<Subscriber<M>> {
        let ended: Vec<_> = list
            .subscribers
            .extract_if(.., |subscriber| subscriber.recipient.is_closed())
            .collect();
        if !ended.is_empty() {
            self.bump();
        }
        ended
    }

    /// Called under the lock. The number is unique, so it also serves as a key.
    fn bump(&self) -> u64 {
        // ORDERING: Release pairs with the Acquire in `refresh`; the list itself is read under
        // the lock, so this only makes the change visible soon.
        self.version.fetch_add(1, Ordering::Release) + 1
    }

    /// Brings the lanes of a publisher up to date, if the list has changed since `seen`.
    pub(super) fn refresh(&self, seen: &mut u64, lanes: &mut Vec<Subscriber<M>>) {
        // ORDERING: Acquire pairs with the Release in `bump`.
        let version = self.version.load(Ordering::Acquire);
        if version == *seen {
            return;
        }
        let list = lock(&self.list);
        *seen = version;
        // Existing lanes stay, so that messages in them keep their order with those sent next.
        lanes.retain(|lane| list.subscribers.iter().any(|known| known.key == lane.key));
        for subscriber in &list.subscribers {
            if !lanes.iter().any(|lane| lane.key == subscriber.key) {
                lanes.push(subscriber.lane());
            }
        }
    }

    // --- with a last value --------------------------------------------------------------------

    /// Publishes a new last value, when the publications before it are done.
    pub(super) async fn publish_last(&self, turn: &Notify, message: M) -> Published {
        let (mut published, waiting) = loop {
            // Before the look at the list: a turn that ends after it is noticed.
            let ended = turn.notified();
            if let Some(offered) = self.offer_last(&message, true) {
                break offered;
            }
            ended.await;
        };
        if waiting.is_empty() {
            return published;
        }
        let _taken = Taken {
            subscribers: self,
            turn,
        };
        for key in waiting {
            match poll_fn(|cx| self.poll_send(key, &message, cx)).await {
                true => published.queued += 1,
                false => published.ended += 1,
            }
        }
        published
    }

    /// As [`publish_last`](Self::publish_last), without waiting; a message whose turn it is not is
    /// dropped, and the last value stays.
    pub(super) fn try_publish_last(&self, message: &M) -> Published {
        if let Some((published, _)) = self.offer_last(message, false) {
            return published;
        }
        let list = lock(&self.list);
        for subscriber in &list.subscribers {
            self.miss(subscriber);
        }
        Published {
            dropped: list.subscribers.len(),
            ..Published::default()
        }
    }

    /// Sends to every subscriber that has room. Returns the keys of those to wait for, and takes
    /// the turn if there are any; none when another publication has the turn.
    fn offer_last(&self, message: &M, may_wait: bool) -> Option<(Published, Vec<u64>)> {
        let mut published = Published::default();
        let mut waiting = Vec::new();
        let mut list = lock(&self.list);
        if list.is_taken {
            return None;
        }
        let replaced = list.last.replace(message.clone());
        let ended: Vec<_> = list
            .subscribers
            .extract_if(.., |subscriber| {
                match subscriber.recipient.try_send(message.clone()) {
                    Ok(()) => published.queued += 1,
                    Err(SendError::Full(_))
                        if subscriber.policy == SlowPolicy::Wait && may_wait =>
                    {
                        waiting.push(subscriber.key);
                    }
                    Err(SendError::Full(_)) if subscriber.policy != SlowPolicy::Disconnect => {
                        published.dropped += 1;
                        self.miss(subscriber);
                    }
                    Err(_) => return true,
                }
                false
            })
            .collect();
        published.ended = ended.len();
        list.is_taken = !waiting.is_empty();
        drop(list);
        drop((ended, replaced));
        Some((published, waiting))
    }

    /// Waits for room at one subscriber and sends to it. Ready with whether it got the message.
    fn poll_send(&self, key: u64, message: &M, cx: &mut Context<'_>) -> Poll<bool> {
        let mut guard = lock(&self.list);
        let list = &mut *guard;
        let mut subscribers = list.subscribers.iter_mut();
        let Some(subscriber) = subscribers.find(|subscriber| subscriber.key == key) else {
            return Poll::Ready(false);
        };
        list.waiting = Some(cx.waker().clone());
        loop {
            let is_open = ready!(subscriber.recipient.poll_ready(cx)).is_ok();
            match subscriber.recipient.try_send(message.clone()) {
                Ok(()) => return Poll::Ready(true),
                Err(SendError::Full(_)) if is_open => {}
                Err(_) => break,
            }
        }
        drop(guard);
        self.remove(&[key]);
        Poll::Ready(false)
    }
}

/// The turn of a publication that waits; it also ends when the publication is cancelled.
struct Taken<'a, M: Clone + Send + 'static> {
    subscribers: &'a Subscribers<M>,
    turn: &'a Notify,
}

impl<M: Clone + Send + 'static> Drop for Taken<'_, M> {
    fn drop(&mut self) {
        let mut list = lock(&self.subscribers.list);
        list.is_taken = false;
        let waiting = list.waiting.take();
        drop(list);
        drop(waiting);
        self.turn.notify_waiters();
    }
}

impl<M: Clone + Send + 'static> Subscribers<M> {
    /// Where publications wait for their turn, in a topic that keeps its last value.
    pub(super) fn turn(&self) -> Option<&Notify> {
        self.turn.as_ref()
    }
}
