//! A sender as a `Sink`.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_sink::Sink;

use super::Sender;
use crate::error::{SendError, TrySendError};

/// Sends what is written to the sink at once: there is nothing to flush except what
/// [`try_feed`](Sender::try_feed) has staged. A sender is ready when it has
/// [room](Sender::poll_reserve).
///
/// Closing the sink flushes it, and does not end this producer: drop the sender for that.
///
/// The error is [`SendError`] when the channel is closed, with the message if there was one.
///
/// # Panics
///
/// `start_send` panics if the lane is full, because the sink was not polled until it was ready.
///
/// # Examples
///
/// ```
/// use futures_util::{SinkExt, StreamExt, stream};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (mut tx, mut rx) = lanemesh::channel(2);
/// tokio::spawn(async move {
///     let mut numbers = stream::iter(0..10).map(Ok);
///     tx.send_all(&mut numbers).await.unwrap();
/// });
/// let mut sum = 0;
/// while let Some(n) = rx.recv().await {
///     sum += n;
/// }
/// assert_eq!(sum, 45);
/// # }
/// ```
impl<T> Sink<T> for Sender<T> {
    type Error = SendError<Option<T>>;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.get_mut()
            .poll_reserve(cx)
            .map_err(|SendError(())| SendError(None))
    }

    fn start_send(self: Pin<&mut Self>, message: T) -> Result<(), Self::Error> {
        match self.get_mut().try_send(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(message)) => Err(SendError(Some(message))),
            Err(TrySendError::Full(_)) => panic!("a message was sent to a sink that is not ready"),
        }
    }

    /// Messages that were staged and are not accepted stay in the sender, where
    /// [`flush`](Sender::flush) returns them.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(if self.get_mut().flush_staged() {
            Ok(())
        } else {
            Err(SendError(None))
        })
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.poll_flush(cx)
    }
}
