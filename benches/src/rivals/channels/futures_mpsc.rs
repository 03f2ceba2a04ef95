//! The mpsc channel of the futures crates. It grants every producer one slot beyond its capacity.

use futures_channel::mpsc::{self, Receiver, Sender};
use futures_util::{SinkExt, StreamExt};

use crate::rig::payload::Payload;
use crate::rivals::channels::traits::{
    AsyncRx, AsyncTx, Attempt, Family, Slots, TryRx, TryTx, handles,
};
use crate::rivals::subject::Subject;

/// `futures_channel::mpsc::channel`.
#[derive(Debug)]
pub struct FuturesMpsc;

impl Subject for FuturesMpsc {
    const NAME: &'static str = "futures";
}

impl<T: Payload> Family<T> for FuturesMpsc {
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open(slots: Slots, producers: usize) -> (Vec<Sender<T>>, Receiver<T>) {
        let (tx, rx) = mpsc::channel(slots.total);
        (handles(tx, producers), rx)
    }
}

impl<T: Payload> TryTx<T> for Sender<T> {
    #[inline]
    fn try_send(&mut self, item: T) -> Attempt {
        match Sender::try_send(self, item) {
            Ok(()) => Attempt::Sent,
            Err(error) if error.is_full() => Attempt::Full,
            Err(_) => Attempt::Closed,
        }
    }
}

impl<T: Payload> TryRx<T> for Receiver<T> {
    #[inline]
    fn try_recv(&mut self) -> Option<T> {
        Receiver::try_recv(self).ok()
    }
}

impl<T: Payload> AsyncTx<T> for Sender<T> {
    #[inline]
    async fn send(&mut self, item: T) -> bool {
        SinkExt::send(self, item).await.is_ok()
    }
}

impl<T: Payload> AsyncRx<T> for Receiver<T> {
    #[inline]
    async fn recv(&mut self) -> Option<T> {
        self.next().await
    }
}
