//! Async operations that end when another future, such as a timer of any executor, is ready first.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use crate::{
    error::{RecvOrError, SendOrError, TryRecvError, TrySendError},
    mailbox::{Message, class_receiver::ClassReceiver, receiver::MailboxReceiver},
    receiver::Receiver,
    sender::{Sender, shared::SharedSender},
};

/// The first of two futures that is ready; `Err` is the second's, which is polled only while the
/// first is pending. The other is dropped.
async fn first<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> Result<A, B> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| match a.as_mut().poll(cx) {
        Poll::Ready(ready) => Poll::Ready(Ok(ready)),
        Poll::Pending => b.as_mut().poll(cx).map(Err),
    })
    .await
}

impl<T> Sender<T> {
    /// Sends a message, waiting for room in the lane, or until another future is ready, such as a
    /// timer: then it returns the message, where a timeout around [`send`](Sender::send) would drop
    /// it. If there is room by then, it sends.
    ///
    /// For threads there is [`send_timeout`](Sender::send_timeout).
    ///
    /// # Errors
    ///
    /// [`SendOrError::Stopped`] with the message and what the other future returned, and
    /// [`SendOrError::Closed`] with the message when the channel is closed, or closes while it
    /// waits.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message was not sent and is dropped with
    /// it. To end the wait and keep the message, let the other future be ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use lanemesh::SendOrError;
    /// use tokio::time::sleep;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let (mut tx, _rx) = lanemesh::channel(1);
    /// let timeout = Duration::from_millis(1);
    /// tx.send_or("first", sleep(timeout)).await.unwrap();
    /// match tx.send_or("second", sleep(timeout)).await {
    ///     Err(SendOrError::Stopped(message, ())) => assert_eq!(message, "second"),
    ///     other => panic!("the lane is full: {other:?}"),
    /// }
    /// # }
    /// ```
    pub async fn send_or<R>(
        &mut self,
        message: T,
        until: impl Future<Output = R>,
    ) -> Result<(), SendOrError<T, R>> {
        let stopped = match first(self.reserve(), until).await {
            Ok(Ok(permit)) => {
                return permit
                    .send(message)
                    .map_err(|error| SendOrError::Closed(error.into_inner()));
            }
            Ok(Err(_)) => return Err(SendOrError::Closed(message)),
            Err(stopped) => stopped,
        };
        // The wait may have been a pause for other tasks.
        self.try_send(message)
            .map_err(|error| SendOrError::new(error, stopped))
    }
}

impl<T> SharedSender<T> {
    /// Sends a message, waiting for room in the lane, or until another future is ready, such as a
    /// timer: then it returns the message. If there is room by then, and nobody else waits for it, it
    /// sends.
    ///
    /// For threads there is [`send_timeout`](SharedSender::send_timeout).
    ///
    /// # Errors
    ///
    /// As [`Sender::send_or`].
    ///
    /// # Cancel safety
    ///
    /// As [`Sender::send_or`]; the place in the order of those who wait is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use lanemesh::SendOrError;
    /// use tokio::time::sleep;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let (tx, _rx) = lanemesh::channel(1);
    /// let tx = tx.shared();
    /// let timeout = Duration::from_millis(1);
    /// tx.send_or("first", sleep(timeout)).await.unwrap();
    /// let stopped = tx.send_or("second", sleep(timeout)).await;
    /// assert_eq!(stopped, Err(SendOrError::Stopped("second", ())));
    /// # }
    /// ```
    pub async fn send_or<R>(
        &self,
        message: T,
        until: impl Future<Output = R>,
    ) -> Result<(), SendOrError<T, R>> {
        match first(self.reserve(), until).await {
            Ok(Ok(permit)) => permit
                .send(message)
                .map_err(|error| SendOrError::Closed(error.into_inner())),
            Ok(Err(_)) => Err(SendOrError::Closed(message)),
            // The wait may have been a pause for other tasks.
            Err(stopped) => self
                .try_send(message)
                .map_err(|error| SendOrError::new(error, stopped)),
        }
    }
}

impl<T> Receiver<T> {
    /// Waits for a message, or until another future is ready, such as a timer. If there is a
    /// message by then, it returns that.
    ///
    /// For threads there is [`recv_timeout`](Receiver::recv_timeout).
    ///
    /// # Errors
    ///
    /// [`RecvOrError::Stopped`] with what the other future returned, and [`RecvOrError::Closed`] if
    /// the channel is closed and drained.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no message; the other future is dropped with it. To keep that,
    /// pass a reference to it, pinned.
    ///
    /// # Examples
    ///
    /// One deadline for several messages:
    ///
    /// ```
    /// use std::{pin::pin, time::Duration};
    ///
    /// use lanemesh::RecvOrError;
    /// use tokio::time::sleep;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let (mut tx, mut rx) = lanemesh::channel(2);
    /// tx.try_send_many([1, 2]).unwrap();
    /// let mut deadline = pin!(sleep(Duration::from_millis(1)));
    /// assert_eq!(rx.recv_or(deadline.as_mut()).await, Ok(1));
    /// assert_eq!(rx.recv_or(deadline.as_mut()).await, Ok(2));
    /// assert_eq!(rx.recv_or(deadline.as_mut()).await, Err(RecvOrError::Stopped(())));
    /// # }
    /// ```
    pub async fn recv_or<R>(
        &mut self,
        until: impl Future<Output = R>,
    ) -> Result<T, RecvOrError<R>> {
        match first(self.recv(), until).await {
            Ok(message) => message.ok_or(RecvOrError::Closed),
            Err(stopped) => self
                .try_recv()
                .map_err(|error| RecvOrError::new(error, stopped)),
        }
    }
}

impl<High, Low> MailboxReceiver<High, Low> {
    /// Waits for a message, or until another future is ready, such as a timer. If there is a
    /// message by then, it returns that.
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv_or`].
    ///
    /// # Cancel safety
    ///
    /// As [`Receiver::recv_or`]: dropping the future loses no message.
    pub async fn recv_or<R>(
        &mut self,
        until: impl Future<Output = R>,
    ) -> Result<Message<High, Low>, RecvOrError<R>> {
        match first(self.recv(), until).await {
            Ok(message) => message.ok_or(RecvOrError::Closed),
            Err(stopped) => self
                .try_recv()
                .map_err(|error| RecvOrError::new(error, stopped)),
        }
    }
}

impl<T> ClassReceiver<'_, T> {
    /// Waits for a message of this class, or until another future is ready, such as a timer. If
    /// there is a message by then, it returns that.
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv_or`].
    ///
    /// # Cancel safety
    ///
    /// As [`Receiver::recv_or`]: dropping the future loses no message.
    pub async fn recv_or<R>(mut self, until: impl Future<Output = R>) -> Result<T, RecvOrError<R>> {
        match first(self.reborrow().recv(), until).await {
            Ok(message) => message.ok_or(RecvOrError::Closed),
            Err(stopped) => self
                .try_recv()
                .map_err(|error| RecvOrError::new(error, stopped)),
        }
    }
}

impl<T, R> SendOrError<T, R> {
    fn new(error: TrySendError<T>, stopped: R) -> Self {
        match error {
            TrySendError::Full(message) => Self::Stopped(message, stopped),
            TrySendError::Closed(message) => Self::Closed(message),
        }
    }
}

impl<R> RecvOrError<R> {
    fn new(error: TryRecvError, stopped: R) -> Self {
        match error {
            TryRecvError::Empty => Self::Stopped(stopped),
            TryRecvError::Closed => Self::Closed,
        }
    }
}
