//! The receiving end of a topic, for those who are not an actor.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use crate::patterns::topic::subscribers::Subscribers;

/// The receiving end of a subscription. Dropping it unsubscribes.
pub struct Subscription<M: Clone + Send + 'static> {
    receiver: lanemesh::Receiver<M>,
    key: u64,
    missed: Arc<AtomicU64>,
    subscribers: Arc<Subscribers<M>>,
}

impl<M: Clone + Send + 'static> Subscription<M> {
    pub(super) fn new(
        receiver: lanemesh::Receiver<M>,
        key: u64,
        missed: Arc<AtomicU64>,
        subscribers: Arc<Subscribers<M>>,
    ) -> Self {
        Self {
            receiver,
            key,
            missed,
            subscribers,
        }
    }

    /// The next message. None when the subscription has ended, by
    /// [`Topic::unsubscribe`](crate::patterns::Topic::unsubscribe) or for being slow, and all
    /// publishers have noticed.
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
        self.subscribers.remove(&[self.key]);
    }
}

impl<M: Clone + Send + 'static> fmt::Debug for Subscription<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("missed", &self.missed())
            .finish_non_exhaustive()
    }
}
