//! flume, for tasks and for threads.

use flume::{Receiver, Sender, TrySendError};

use crate::rig::payload::Payload;
use crate::rivals::channels::traits::{
    AsyncRx, AsyncTx, Attempt, BlockingRx, BlockingTx, Family, Slots, TryRx, TryTx, handles,
};
use crate::rivals::subject::Subject;

/// `flume::bounded`, waited on as a task.
#[derive(Debug)]
pub struct FlumeAsync;

/// `flume::bounded`, waited on as a thread.
#[derive(Debug)]
pub struct FlumeBlocking;

impl Subject for FlumeAsync {
    const NAME: &'static str = "flume";
}

impl Subject for FlumeBlocking {
    const NAME: &'static str = "flume";
}

impl<T: Payload> Family<T> for FlumeAsync {
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open(slots: Slots, producers: usize) -> (Vec<Sender<T>>, Receiver<T>) {
        let (tx, rx) = flume::bounded(slots.total);
        (handles(tx, producers), rx)
    }
}

impl<T: Payload> Family<T> for FlumeBlocking {
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open(slots: Slots, producers: usize) -> (Vec<Sender<T>>, Receiver<T>) {
        <FlumeAsync as Family<T>>::open(slots, producers)
    }
}

impl<T: Payload> TryTx<T> for Sender<T> {
    #[inline]
    fn try_send(&mut self, item: T) -> Attempt {
        match Sender::try_send(self, item) {
            Ok(()) => Attempt::Sent,
            Err(TrySendError::Full(_)) => Attempt::Full,
            Err(TrySendError::Disconnected(_)) => Attempt::Closed,
        }
    }
}

impl<T: Payload> TryRx<T> for Receiver<T> {
    #[inline]
    fn try_recv(&mut self) -> Option<T> {
        Receiver::try_recv(self).ok()
    }

    fn try_recv_batch(&mut self, into: &mut Vec<T>, _limit: usize) {
        into.extend(self.drain());
    }
}

impl<T: Payload> AsyncTx<T> for Sender<T> {
    #[inline]
    async fn send(&mut self, item: T) -> bool {
        self.send_async(item).await.is_ok()
    }
}

impl<T: Payload> AsyncRx<T> for Receiver<T> {
    #[inline]
    async fn recv(&mut self) -> Option<T> {
        self.recv_async().await.ok()
    }
}

impl<T: Payload> BlockingTx<T> for Sender<T> {
    #[inline]
    fn blocking_send(&mut self, item: T) -> bool {
        Sender::send(self, item).is_ok()
    }
}

impl<T: Payload> BlockingRx<T> for Receiver<T> {
    #[inline]
    fn blocking_recv(&mut self) -> Option<T> {
        Receiver::recv(self).ok()
    }
}
