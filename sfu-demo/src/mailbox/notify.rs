//! A waker beside a channel that cannot be awaited safely.
//!
//! Every send checks the waker, which costs an atomic read-modify-write. That is the price of using such a channel
//! from a task, not of the channel itself. Nothing is queued here.

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

/// The sender's side. Dropping the last one notifies the receiver, which then sees that the channel is closed.
#[derive(Debug)]
pub(super) struct Notifier(Arc<Shared>);

/// The receiver's side.
#[derive(Debug)]
pub(super) struct Notified(Arc<Shared>);

/// Makes a waker with one notifier.
#[must_use]
pub(super) fn notifier() -> (Notifier, Notified) {
    let shared = Arc::new(Shared::default());
    shared.senders.store(1, Ordering::Relaxed); // ORDERING: it is not shared yet.
    (Notifier(Arc::clone(&shared)), Notified(shared))
}

impl Notifier {
    /// Wakes the receiver if it sleeps. The message must be in the channel already.
    pub(super) fn notify(&self) {
        self.0.waker.wake();
    }
}

impl Clone for Notifier {
    fn clone(&self) -> Self {
        // ORDERING: `self` is counted, so the count cannot reach 0 meanwhile.
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        // ORDERING: pairs with the Acquire load in `Notified::wait`, which then sees all that was sent before.
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.waker.wake();
        }
    }
}

impl Notified {
    /// Waits until `try_recv` finds a message. `None` means that every notifier is gone and there is none left.
    ///
    /// # Cancel safety
    ///
    /// A message is received only by the poll that returns it.
    pub(super) async fn wait<T>(
        &self,
        mut try_recv: impl FnMut() -> Result<T, Nothing>,
    ) -> Option<T> {
        poll_fn(|cx| {
            if let Ok(message) = try_recv() {
                return Poll::Ready(Some(message));
            }
            self.0.waker.register(cx.waker());
            // ORDERING: pairs with the release of the last notifier's drop. The count is read before
            // the last try, so that no message is left behind.
            let gone = self.0.senders.load(Ordering::Acquire) == 0;
            match try_recv() {
                Ok(message) => Poll::Ready(Some(message)),
                Err(_) if gone => Poll::Ready(None),
                Err(_) => Poll::Pending,
            }
        })
        .await
    }
}
