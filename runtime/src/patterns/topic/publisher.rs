//! The publishing end of a topic.

use std::{fmt, future::poll_fn, sync::Arc};

use crate::{
    error::SendError,
    patterns::topic::{
        policy::{Published, SlowPolicy},
        subscribers::{Subscriber, Subscribers},
    },
};

/// Publishes to a topic through its own lanes. Messages of one publisher arrive in order within one
/// subscription, also across a restart of the subscriber; see
/// [`subscribe_recipient`](super::Topic::subscribe_recipient).
pub struct Publisher<M> {
    subscribers: Arc<Subscribers<M>>,
    version: u64,
    /// Unused in a topic that keeps its last value.
    lanes: Vec<Subscriber<M>>,
}

impl<M: Clone + Send + 'static> Publisher<M> {
    pub(super) fn new(subscribers: Arc<Subscribers<M>>) -> Self {
        Self {
            subscribers,
            version: 0,
            lanes: Vec::new(),
        }
    }

    /// Publishes to all subscribers, waiting for those whose policy is to wait. There is no
    /// deadlock detection: actors that wait for each other's full lanes in this way wait forever.
    ///
    /// # Cancel safety
    ///
    /// If cancelled, some subscribers have got the message and others have not.
    pub async fn publish(&mut self, message: M) -> Published {
        if let Some(turn) = self.subscribers.turn() {
            return self.subscribers.publish_last(turn, message).await;
        }
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
                        self.subscribers.miss(subscriber);
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
    ///
    /// While another publication waits for a slow subscriber of a topic that keeps its last value,
    /// the message is dropped for all subscribers and is not the last value.
    pub fn try_publish(&mut self, message: M) -> Published {
        if self.subscribers.keeps_last() {
            return self.subscribers.try_publish_last(&message);
        }
        self.refresh();
        let mut published = Published::default();
        let mut ended = Vec::new();
        for subscriber in &mut self.lanes {
            match subscriber.recipient.try_send(message.clone()) {
                Ok(()) => published.queued += 1,
                Err(SendError::Full(_)) if subscriber.policy != SlowPolicy::Disconnect => {
                    published.dropped += 1;
                    self.subscribers.miss(subscriber);
                }
                Err(_) => ended.push(subscriber.key),
            }
        }
        published.ended = ended.len();
        self.end(&ended);
        published
    }

    /// Whether nobody subscribes and there is no last value.
    pub(super) fn is_unused(&self) -> bool {
        self.subscribers.is_unused()
    }

    fn refresh(&mut self) {
        self.subscribers.refresh(&mut self.version, &mut self.lanes);
    }

    fn end(&mut self, ended: &[u64]) {
        if ended.is_empty() {
            return;
        }
        self.lanes.retain(|lane| !ended.contains(&lane.key));
        self.subscribers.remove(ended);
    }
}

impl<M: Clone + Send + 'static> Clone for Publisher<M> {
    fn clone(&self) -> Self {
        Self::new(self.subscribers.clone())
    }
}

impl<M> fmt::Debug for Publisher<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("lanes", &self.lanes.len())
            .finish_non_exhaustive()
    }
}
