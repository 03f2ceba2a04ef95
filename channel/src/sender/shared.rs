//! A sender for `&self`, as a server's shared state needs it: one producer's lane behind a short
//! lock.

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use super::{Sender, weak::WeakSender};
use crate::{
    error::{SendError, SendTimeoutError, TrySendError},
    sync::{Mutex, lock, mutant, park, wake_all::WakeAll},
};

impl<T> Sender<T> {
    /// Turns this producer into one for `&self`: its lane behind a short lock.
    pub fn shared(self) -> SharedSender<T> {
        SharedSender::new(self)
    }
}

/// A [`Sender`] whose sends take `&self`.
///
/// It is one producer with one lane. Threads that send through the same `SharedSender` take turns
/// at a lock that is held for a few instructions and never while waiting. A thread that is stopped
/// inside it delays the others that use this `SharedSender`, and no other producer. Messages arrive
/// in the order in which the lock was taken; among sends that wait for room there is no order. A
/// clone is a producer with a lane of its own; to share one lane, share a reference or an `Arc`.
///
/// A send that finds the receiver asleep calls its waker with the lock held. This is no problem for
/// any executor; but a custom waker that sends through the same `SharedSender` when it is woken
/// would deadlock.
pub struct SharedSender<T> {
    sender: Mutex<Sender<T>>,
    waiters: Arc<Waiters>,
}

/// Those who wait for room in the lane. The receiver wakes all of them, and each tries again.
#[derive(Debug, Default)]
struct Waiters(Mutex<Vec<Waker>>);

impl Waiters {
    fn add(&self, waker: &Waker) {
        let mut wakers = lock(&self.0);
        if !wakers.iter().any(|waiting| waiting.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }
}

impl Wake for Waiters {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let wakers = std::mem::take(&mut *lock(&self.0));
        let mut all = WakeAll::default();
        for waker in wakers {
            all.run(|| waker.wake());
        }
        all.done();
    }
}

impl<T> SharedSender<T> {
    fn new(sender: Sender<T>) -> Self {
        Self {
            sender: Mutex::new(sender),
            waiters: Arc::default(),
        }
    }

    /// Sends a message if the lane has room.
    ///
    /// # Errors
    ///
    /// As [`Sender::try_send`].
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        lock(&self.sender).try_send(message)
    }

    /// Sends a message, waiting for room in the lane.
    ///
    /// # Errors
    ///
    /// As [`Sender::send`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message was not sent and is dropped with
    /// the future.
    pub async fn send(&self, message: T) -> Result<(), SendError<T>> {
        let mut message = Some(message);
        let mut wait = Wait::new(self);
        let result = poll_fn(|cx| {
            let polled = self.poll_send(cx, &mut message);
            wait.goes_on = polled.is_pending();
            polled
        });
        result.await
    }

    /// Sends a message, blocking the thread while the lane is full.
    ///
    /// # Errors
    ///
    /// As [`Sender::blocking_send`].
    pub fn blocking_send(&self, message: T) -> Result<(), SendError<T>> {
        self.send_until(message, None)
            .map_err(|error| SendError(error.into_inner()))
    }

    /// Sends a message, blocking the thread for at most `timeout` while the lane is full.
    ///
    /// # Errors
    ///
    /// As [`Sender::send_timeout`].
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_until(message, Instant::now().checked_add(timeout))
    }

    fn send_until(&self, message: T, deadline: Option<Instant>) -> Result<(), SendTimeoutError<T>> {
        let mut message = Some(message);
        let mut wait = Wait::new(self);
        let result = park::block_on(deadline, |cx| {
            let polled = self.poll_send(cx, &mut message);
            wait.goes_on = polled.is_pending();
            polled
        });
        drop(wait);
        match (result, message) {
            (Some(Ok(())), _) => Ok(()),
            (Some(Err(SendError(message))), _) => Err(SendTimeoutError::Closed(message)),
            (None, Some(message)) => Err(SendTimeoutError::Timeout(message)),
            (None, None) => unreachable!("a send that is not done keeps its message"),
        }
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &mut Option<T>,
    ) -> Poll<Result<(), SendError<T>>> {
        let Some(unsent) = message.take() else {
            unreachable!("polled after it was ready")
        };
        let mut sender = lock(&self.sender);
        match sender.try_send(unsent) {
            Ok(()) => return Poll::Ready(Ok(())),
            Err(TrySendError::Closed(unsent)) => return Poll::Ready(Err(SendError(unsent))),
            Err(TrySendError::Full(unsent)) => *message = Some(unsent),
        }
        // Registered before the lane is asked, so that the wake-up finds this task.
        self.waiters.add(cx.waker());
        let group = Waker::from(self.waiters.clone());
        match sender.poll_reserve(&mut Context::from_waker(&group)) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(_) => {
                let Some(unsent) = message.take() else {
                    unreachable!("put back above")
                };
                let result = sender.try_send(unsent);
                drop(sender);
                // Finding room cleared the lane's waiting flag, on which others may depend.
                if !mutant("shared_wake") {
                    self.waiters.wake_by_ref();
                }
                Poll::Ready(result.map_err(|error| SendError(error.into_inner())))
            }
        }
    }

    /// Waits until the receiver closes the channel or is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn closed(&self) {
        let other = lock(&self.sender).downgrade();
        other.closed().await;
    }

    /// Whether the receiver has closed the channel or was dropped.
    pub fn is_closed(&self) -> bool {
        lock(&self.sender).is_closed()
    }

    /// The number of messages that the lane can hold.
    pub fn capacity(&self) -> usize {
        lock(&self.sender).capacity()
    }

    /// The number of this producer's messages that the receiver has not taken.
    pub fn len(&self) -> usize {
        lock(&self.sender).len()
    }

    /// Whether the receiver has taken all messages of this producer.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A handle that does not keep the channel open.
    pub fn downgrade(&self) -> WeakSender<T> {
        lock(&self.sender).downgrade()
    }

    /// A new producer of the same channel, for sends through `&mut self`.
    pub fn sender(&self) -> Sender<T> {
        lock(&self.sender).clone()
    }
}

/// A wait for room. If it is dropped while it goes on, the place in the queue for slots of a bound
/// on all lanes is passed on.
struct Wait<'a, T> {
    sender: &'a SharedSender<T>,
    goes_on: bool,
}

impl<'a, T> Wait<'a, T> {
    fn new(sender: &'a SharedSender<T>) -> Self {
        Self {
            sender,
            goes_on: false,
        }
    }
}

impl<T> Drop for Wait<'_, T> {
    fn drop(&mut self) {
        if self.goes_on {
            // Wakers are called after the lock is released.
            let wait = lock(&self.sender.sender).take_wait();
            if wait.is_some() {
                drop(wait);
                // Those that waited with it begin anew.
                self.sender.waiters.wake_by_ref();
            }
        }
    }
}

/// Makes another producer, with a lane of its own.
impl<T> Clone for SharedSender<T> {
    fn clone(&self) -> Self {
        Self::new(self.sender())
    }
}

impl<T> fmt::Debug for SharedSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSender").finish_non_exhaustive()
    }
}
