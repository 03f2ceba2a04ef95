//! Handles that do not keep a channel open, and the future that waits for its close.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::Sender;
use crate::{fan_in::FanIn, sync::Arc};

impl<T> Sender<T> {
    /// A handle that does not keep the channel open.
    pub fn downgrade(&self) -> WeakSender<T> {
        WeakSender::new(self.fan_in.clone())
    }

    /// Waits until the receiver closes the channel or is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn closed(&self) {
        ClosedFuture::new(&self.fan_in).await;
    }
}

/// A handle to a channel that does not keep it open.
pub struct WeakSender<T> {
    fan_in: Arc<FanIn<T>>,
}

impl<T> WeakSender<T> {
    pub(crate) fn new(fan_in: Arc<FanIn<T>>) -> Self {
        Self { fan_in }
    }

    /// Makes a new producer; `None` if the last sender was dropped.
    pub fn upgrade(&self) -> Option<Sender<T>> {
        self.fan_in
            .try_add_sender()
            .then(|| Sender::first(self.fan_in.clone()))
    }

    /// Waits until the receiver closes the channel or is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn closed(&self) {
        ClosedFuture::new(&self.fan_in).await;
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> Self {
        Self {
            fan_in: self.fan_in.clone(),
        }
    }
}

impl<T> fmt::Debug for WeakSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakSender")
            .field("fan_in", &self.fan_in)
            .finish()
    }
}

struct ClosedFuture<'a, T> {
    fan_in: &'a FanIn<T>,
    key: Option<u64>,
}

impl<'a, T> ClosedFuture<'a, T> {
    fn new(fan_in: &'a FanIn<T>) -> Self {
        Self { fan_in, key: None }
    }
}

impl<T> Future for ClosedFuture<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.fan_in.wait_closed(self.key, cx.waker()) {
            None => Poll::Ready(()),
            key => {
                self.key = key;
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for ClosedFuture<'_, T> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.fan_in.forget_close_waiter(key);
        }
    }
}
