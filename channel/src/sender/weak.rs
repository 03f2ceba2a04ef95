//! Handles that do not keep a channel open, and the wait for its close.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::Sender;
use crate::{fan_in::Mesh, sync::Arc};

/// A handle to a channel that does not keep it open.
pub struct WeakSender<T> {
    mesh: Arc<Mesh<T>>,
}

impl<T> WeakSender<T> {
    pub(crate) fn new(mesh: Arc<Mesh<T>>) -> Self {
        Self { mesh }
    }

    /// A new producer, or `None` when the last sender has been dropped.
    pub fn upgrade(&self) -> Option<Sender<T>> {
        self.mesh
            .try_add_sender()
            .then(|| Sender::first(self.mesh.clone()))
    }

    /// Waits until the receiver closes the channel or is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn closed(&self) {
        ClosedFuture::new(&self.mesh).await;
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> Self {
        Self {
            mesh: self.mesh.clone(),
        }
    }
}

impl<T> fmt::Debug for WeakSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakSender")
            .field("mesh", &self.mesh)
            .finish()
    }
}

pub(super) struct ClosedFuture<'a, T> {
    mesh: &'a Mesh<T>,
    key: Option<u64>,
}

impl<'a, T> ClosedFuture<'a, T> {
    pub(super) fn new(mesh: &'a Mesh<T>) -> Self {
        Self { mesh, key: None }
    }
}

impl<T> Future for ClosedFuture<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.mesh.wait_closed(self.key, cx.waker()) {
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
            self.mesh.forget_closer(key);
        }
    }
}
