//! A shared sender as a `Sink`, which keeps its wait between two polls.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use futures_sink::Sink;

use super::{SharedSender, coop};
use crate::{
    error::{SendError, TrySendError},
    sync::Exclusive,
};

impl<T> SharedSender<T> {
    /// A sink that sends through this sender's lane.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_util::{SinkExt, stream};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let (tx, mut rx) = lanemesh::channel(2);
    /// let mut sink = tx.shared().into_sink();
    /// tokio::spawn(async move {
    ///     let mut numbers = stream::iter(0..10).map(Ok);
    ///     sink.send_all(&mut numbers).await.unwrap();
    /// });
    /// # use futures_util::StreamExt;
    /// let mut sum = 0;
    /// while let Some(n) = rx.recv().await {
    ///     sum += n;
    /// }
    /// assert_eq!(sum, 45);
    /// # }
    /// ```
    pub fn into_sink(self) -> SharedSink<T> {
        SharedSink {
            sender: self,
            has_slot: false,
            wait: Exclusive::default(),
        }
    }
}

/// A [`SharedSender`] as a sink; see [`SharedSender::into_sink`].
///
/// It sends what is written to it at once, so there is nothing to flush. Once it is ready, it holds room for one message
/// until that is written or the sink is dropped. A wait keeps its place among those of the clones between two polls.
///
/// Closing the sink does nothing: drop it to end this sender.
///
/// The error is [`SendError`] when the channel is closed, with the message if there was one.
///
/// # Panics
///
/// `start_send` panics if the sink was not polled until it was ready.
pub struct SharedSink<T> {
    sender: SharedSender<T>,
    /// A slot is held for the next message.
    has_slot: bool,
    /// The wait for it.
    wait: Exclusive<Option<Wait>>,
}

type Wait = Pin<Box<dyn Future<Output = Result<(), SendError<()>>> + Send>>;

impl<T> SharedSink<T> {
    /// The sender that this sends through.
    pub fn get_ref(&self) -> &SharedSender<T> {
        &self.sender
    }
}

impl<T: Send + 'static> Sink<T> for SharedSink<T> {
    type Error = SendError<Option<T>>;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let sink = self.get_mut();
        if sink.has_slot {
            return Poll::Ready(Ok(()));
        }
        let wait = sink.wait.get();
        if wait.is_none() {
            let budget = sink.sender.group.fan_in.config.budget();
            if coop::poll_proceed(budget, cx).is_pending() {
                return Poll::Pending;
            }
            match sink.sender.try_acquire(1) {
                Ok(()) => {
                    sink.has_slot = true;
                    return Poll::Ready(Ok(()));
                }
                Err(TrySendError::Closed(())) => return Poll::Ready(Err(SendError(None))),
                Err(TrySendError::Full(())) => {}
            }
        }
        let wait = wait.get_or_insert_with(|| {
            let sender = sink.sender.clone();
            Box::pin(async move { sender.wait(1).await })
        });
        let Poll::Ready(acquired) = wait.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        *sink.wait.get() = None;
        sink.has_slot = acquired.is_ok();
        Poll::Ready(acquired.map_err(|SendError(())| SendError(None)))
    }

    fn start_send(self: Pin<&mut Self>, message: T) -> Result<(), Self::Error> {
        let sink = self.get_mut();
        if !mem::take(&mut sink.has_slot) {
            assert!(
                sink.sender.is_closed(),
                "a message was sent to a sink that is not ready"
            );
            return Err(SendError(Some(message)));
        }
        sink.sender
            .send_reserved(message)
            .map_err(|SendError(message)| SendError(Some(message)))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }
}

/// Nothing in a sink is pinned.
impl<T> Unpin for SharedSink<T> {}

/// Gives back the room that it holds.
impl<T> Drop for SharedSink<T> {
    fn drop(&mut self) {
        if self.has_slot {
            self.sender.release(1);
        }
    }
}

impl<T> fmt::Debug for SharedSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSink")
            .field("sender", &self.sender)
            .field("has_slot", &self.has_slot)
            .finish_non_exhaustive()
    }
}
