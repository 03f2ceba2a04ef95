//! A doorbell beside a channel that cannot be awaited safely.
//!
//! Every send looks at the waker, which costs an atomic read-modify-write; that is the price of
//! using such a channel from a task, not of the channel. It does not queue anything itself.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use atomic_waker::AtomicWaker;

use super::pair::Nothing;

#[derive(Debug, Default)]
struct Shared {
    waker: AtomicWaker,
    senders: AtomicUsize,
}

/// The sender's side; rings when the last one goes, so that the receiver sees the end.
#[derive(Debug)]
pub(super) struct Notifier(Arc<Shared>);

/// The receiver's side.
#[derive(Debug)]
pub(super) struct Notified(Arc<Shared>);

/// Makes a doorbell with one notifier.
#[must_use]
pub(super) fn notifier() -> (Notifier, Notified) {
    let shared = Arc::new(Shared::default());
    shared.senders.store(1, Ordering::Relaxed); // ORDERING: nobody else sees it yet.
    (Notifier(Arc::clone(&shared)), Notified(shared))
}

impl Notifier {
    /// Wakes the receiver, if it sleeps. To be called after the message is in the channel.
    pub(super) fn notify(&self) {
        self.0.waker.wake();
    }
}

impl Clone for Notifier {
    fn clone(&self) -> Self {
        // ORDERING: a clone is made from a living notifier, so the count cannot reach 0 meanwhile.
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        // ORDERING: pairs with the Acquire load in `Notified::wait`: what was sent before is seen.
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.waker.wake();
        }
    }
}

impl Notified {
    /// Waits until `take` finds a message; `None` when every notifier is gone and it finds none.
    ///
    /// # Cancel safety
    ///
    /// `take` runs only in the poll that returns its message.
    pub(super) async fn wait<T>(&self, mut take: impl FnMut() -> Result<T, Nothing>) -> Option<T> {
        poll_fn(|cx| {
            if let Ok(message) = take() {
                return Poll::Ready(Some(message));
            }
            self.0.waker.register(cx.waker());
            // ORDERING: pairs with the release of the last notifier's drop. The count is read before
            // the last look into the channel, so that no message is left behind.
            let gone = self.0.senders.load(Ordering::Acquire) == 0;
            match take() {
                Ok(message) => Poll::Ready(Some(message)),
                Err(_) if gone => Poll::Ready(None),
                Err(_) => Poll::Pending,
            }
        })
        .await
    }
}
