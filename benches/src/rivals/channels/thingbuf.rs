//! thingbuf's mpsc channel, with messages sent by value.

use thingbuf::mpsc::errors::TrySendError;
use thingbuf::mpsc::{self, Receiver, Sender};

use crate::rig::payload::Payload;
use crate::rivals::channels::traits::{
    AsyncRx, AsyncTx, Attempt, Family, Slots, TryRx, TryTx, handles,
};
use crate::rivals::subject::Subject;

/// `thingbuf::mpsc::channel`.
#[derive(Debug)]
pub struct Thingbuf;

impl Subject for Thingbuf {
    const NAME: &'static str = "thingbuf";
}

impl<T: Payload + Sync> Family<T> for Thingbuf {
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open(slots: Slots, producers: usize) -> (Vec<Sender<T>>, Receiver<T>) {
        let (tx, rx) = mpsc::channel(slots.total);
        (handles(tx, producers), rx)
    }
}

impl<T: Payload + Sync> TryTx<T> for Sender<T> {
    #[inline]
    fn try_send(&mut self, item: T) -> Attempt {
        match Sender::try_send(self, item) {
            Ok(()) => Attempt::Sent,
            Err(TrySendError::Closed(_)) => Attempt::Closed,
            Err(_) => Attempt::Full,
        }
    }
}

impl<T: Payload + Sync> TryRx<T> for Receiver<T> {
    #[inline]
    fn try_recv(&mut self) -> Option<T> {
        Receiver::try_recv(self).ok()
    }
}

impl<T: Payload + Sync> AsyncTx<T> for Sender<T> {
    #[inline]
    async fn send(&mut self, item: T) -> bool {
        Sender::send(self, item).await.is_ok()
    }
}

impl<T: Payload + Sync> AsyncRx<T> for Receiver<T> {
    #[inline]
    async fn recv(&mut self) -> Option<T> {
        Receiver::recv(self).await
    }
}
