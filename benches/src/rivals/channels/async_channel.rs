//! async-channel.

use async_channel::{Receiver, Sender, TrySendError};

use crate::rig::payload::Payload;
use crate::rivals::channels::traits::{
    AsyncRx, AsyncTx, Attempt, Family, Slots, TryRx, TryTx, handles,
};
use crate::rivals::subject::Subject;

/// `async_channel::bounded`.
#[derive(Debug)]
pub struct AsyncChannel;

impl Subject for AsyncChannel {
    const NAME: &'static str = "async-channel";
}

impl<T: Payload> Family<T> for AsyncChannel {
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open(slots: Slots, producers: usize) -> (Vec<Sender<T>>, Receiver<T>) {
        let (tx, rx) = async_channel::bounded(slots.total);
        (handles(tx, producers), rx)
    }
}

impl<T: Payload> TryTx<T> for Sender<T> {
    #[inline]
    fn try_send(&mut self, item: T) -> Attempt {
        match Sender::try_send(self, item) {
            Ok(()) => Attempt::Sent,
            Err(TrySendError::Full(_)) => Attempt::Full,
            Err(TrySendError::Closed(_)) => Attempt::Closed,
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
        Sender::send(self, item).await.is_ok()
    }
}

impl<T: Payload> AsyncRx<T> for Receiver<T> {
    #[inline]
    async fn recv(&mut self) -> Option<T> {
        Receiver::recv(self).await.ok()
    }
}
