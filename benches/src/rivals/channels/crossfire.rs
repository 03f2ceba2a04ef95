//! crossfire's mpsc channels, for tasks and for threads.

use crossfire::mpsc::{self, Array};
use crossfire::{AsyncRx as Receiver, MAsyncTx, MTx, Rx as ThreadReceiver, TrySendError};

use crate::rig::payload::Payload;
use crate::rivals::channels::traits::{
    AsyncRx, AsyncTx, Attempt, BlockingRx, BlockingTx, Family, Slots, TryRx, TryTx, handles,
};
use crate::rivals::subject::Subject;

/// `crossfire::mpsc::bounded_async`.
#[derive(Debug)]
pub struct CrossfireAsync;

/// `crossfire::mpsc::bounded_blocking`.
#[derive(Debug)]
pub struct CrossfireBlocking;

impl Subject for CrossfireAsync {
    const NAME: &'static str = "crossfire";
}

impl Subject for CrossfireBlocking {
    const NAME: &'static str = "crossfire";
}

impl<T: Payload> Family<T> for CrossfireAsync {
    type Tx = MAsyncTx<Array<T>>;
    type Rx = Receiver<Array<T>>;

    fn open(slots: Slots, producers: usize) -> (Vec<Self::Tx>, Self::Rx) {
        let (tx, rx) = mpsc::bounded_async(slots.total);
        (handles(tx, producers), rx)
    }
}

impl<T: Payload> Family<T> for CrossfireBlocking {
    type Tx = MTx<Array<T>>;
    type Rx = ThreadReceiver<Array<T>>;

    fn open(slots: Slots, producers: usize) -> (Vec<Self::Tx>, Self::Rx) {
        let (tx, rx) = mpsc::bounded_blocking(slots.total);
        (handles(tx, producers), rx)
    }
}

fn attempt<T>(result: Result<(), TrySendError<T>>) -> Attempt {
    match result {
        Ok(()) => Attempt::Sent,
        Err(TrySendError::Full(_)) => Attempt::Full,
        Err(TrySendError::Disconnected(_)) => Attempt::Closed,
    }
}

impl<T: Payload> TryTx<T> for MAsyncTx<Array<T>> {
    #[inline]
    fn try_send(&mut self, item: T) -> Attempt {
        attempt((**self).try_send(item))
    }
}

impl<T: Payload> TryTx<T> for MTx<Array<T>> {
    #[inline]
    fn try_send(&mut self, item: T) -> Attempt {
        attempt((**self).try_send(item))
    }
}

impl<T: Payload> TryRx<T> for Receiver<Array<T>> {
    #[inline]
    fn try_recv(&mut self) -> Option<T> {
        Receiver::try_recv(self).ok()
    }
}

impl<T: Payload> TryRx<T> for ThreadReceiver<Array<T>> {
    #[inline]
    fn try_recv(&mut self) -> Option<T> {
        ThreadReceiver::try_recv(self).ok()
    }
}

impl<T: Payload> AsyncTx<T> for MAsyncTx<Array<T>> {
    #[inline]
    async fn send(&mut self, item: T) -> bool {
        (**self).send(item).await.is_ok()
    }
}

impl<T: Payload> AsyncRx<T> for Receiver<Array<T>> {
    #[inline]
    async fn recv(&mut self) -> Option<T> {
        Receiver::recv(self).await.ok()
    }
}

impl<T: Payload> BlockingTx<T> for MTx<Array<T>> {
    #[inline]
    fn blocking_send(&mut self, item: T) -> bool {
        (**self).send(item).is_ok()
    }
}

impl<T: Payload> BlockingRx<T> for ThreadReceiver<Array<T>> {
    #[inline]
    fn blocking_recv(&mut self) -> Option<T> {
        ThreadReceiver::recv(self).ok()
    }
}
