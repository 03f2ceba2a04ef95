//! kanal, for tasks and for threads.

use kanal::{AsyncReceiver, AsyncSender, Receiver, Sender};

use crate::rig::payload::Payload;
use crate::rivals::channels::traits::{
    AsyncRx, AsyncTx, Attempt, BlockingRx, BlockingTx, Family, Slots, TryRx, TryTx, handles,
};
use crate::rivals::subject::Subject;

/// `kanal::bounded_async`.
#[derive(Debug)]
pub struct KanalAsync;

/// `kanal::bounded`.
#[derive(Debug)]
pub struct KanalBlocking;

impl Subject for KanalAsync {
    const NAME: &'static str = "kanal";
}

impl Subject for KanalBlocking {
    const NAME: &'static str = "kanal";
}

impl<T: Payload> Family<T> for KanalAsync {
    type Tx = AsyncSender<T>;
    type Rx = AsyncReceiver<T>;

    fn open(slots: Slots, producers: usize) -> (Vec<AsyncSender<T>>, AsyncReceiver<T>) {
        let (tx, rx) = kanal::bounded_async(slots.total);
        (handles(tx, producers), rx)
    }
}

impl<T: Payload> Family<T> for KanalBlocking {
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open(slots: Slots, producers: usize) -> (Vec<Sender<T>>, Receiver<T>) {
        let (tx, rx) = kanal::bounded(slots.total);
        (handles(tx, producers), rx)
    }
}

fn attempt(result: Result<bool, kanal::SendError>) -> Attempt {
    match result {
        Ok(true) => Attempt::Sent,
        Ok(false) => Attempt::Full,
        Err(_) => Attempt::Closed,
    }
}

impl<T: Payload> TryTx<T> for AsyncSender<T> {
    #[inline]
    fn try_send(&mut self, item: T) -> Attempt {
        attempt(AsyncSender::try_send(self, item))
    }
}

impl<T: Payload> TryTx<T> for Sender<T> {
    #[inline]
    fn try_send(&mut self, item: T) -> Attempt {
        attempt(Sender::try_send(self, item))
    }
}

impl<T: Payload> TryRx<T> for AsyncReceiver<T> {
    #[inline]
    fn try_recv(&mut self) -> Option<T> {
        AsyncReceiver::try_recv(self).ok().flatten()
    }

    fn try_recv_batch(&mut self, into: &mut Vec<T>, _limit: usize) {
        let _ = self.drain_into(into);
    }
}

impl<T: Payload> TryRx<T> for Receiver<T> {
    #[inline]
    fn try_recv(&mut self) -> Option<T> {
        Receiver::try_recv(self).ok().flatten()
    }

    fn try_recv_batch(&mut self, into: &mut Vec<T>, _limit: usize) {
        let _ = self.drain_into(into);
    }
}

impl<T: Payload> AsyncTx<T> for AsyncSender<T> {
    #[inline]
    async fn send(&mut self, item: T) -> bool {
        AsyncSender::send(self, item).await.is_ok()
    }
}

impl<T: Payload> AsyncRx<T> for AsyncReceiver<T> {
    #[inline]
    async fn recv(&mut self) -> Option<T> {
        AsyncReceiver::recv(self).await.ok()
    }
}

impl<T: Payload> BlockingTx<T> for Sender<T> {
    #[inline]
    fn blocking_send(&mut self, item: T) -> bool {
        self.send(item).is_ok()
    }
}

impl<T: Payload> BlockingRx<T> for Receiver<T> {
    #[inline]
    fn blocking_recv(&mut self) -> Option<T> {
        self.recv().ok()
    }
}
