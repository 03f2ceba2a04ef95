//! The future of every async receive: it polls the receiver, and leaves no waker behind.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// A receiver that a poll can put to sleep.
pub(crate) trait Sleeper {
    /// Ends a sleep, if there is one: the waker is dropped, and nothing wakes it any more.
    fn stop_sleeping(&mut self);
}

/// Polls `receiver` with `poll` until it is ready.
pub(crate) struct Wait<'a, R: Sleeper, P> {
    receiver: &'a mut R,
    poll: P,
    /// A poll was pending, so a waker may be registered.
    waited: bool,
}

impl<'a, R: Sleeper, P> Wait<'a, R, P> {
    #[inline]
    pub(crate) fn new<O>(receiver: &'a mut R, poll: P) -> Self
    where
        P: FnMut(&mut R, &mut Context<'_>) -> Poll<O>,
    {
        Self {
            receiver,
            poll,
            waited: false,
        }
    }
}

/// Neither the receiver nor the poll is pinned.
impl<R: Sleeper, P> Unpin for Wait<'_, R, P> {}

impl<R: Sleeper, P, O> Future for Wait<'_, R, P>
where
    P: FnMut(&mut R, &mut Context<'_>) -> Poll<O>,
{
    type Output = O;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        let wait = &mut *self;
        let polled = (wait.poll)(wait.receiver, cx);
        if polled.is_pending() {
            wait.waited = true;
        }
        polled
    }
}

impl<R: Sleeper, P> Drop for Wait<'_, R, P> {
    #[inline]
    fn drop(&mut self) {
        if self.waited {
            self.receiver.stop_sleeping();
        }
    }
}
