//! tokio's bounded mpsc channel.

use std::task::{Context, Waker};

use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};

use crate::rig::payload::Payload;
use crate::rivals::channels::traits::{
    AsyncRx, AsyncTx, Attempt, Family, Slots, TryRx, TryTx, handles,
};
use crate::rivals::subject::Subject;

/// `tokio::sync::mpsc`.
#[derive(Debug)]
pub struct TokioMpsc;

impl Subject for TokioMpsc {
    const NAME: &'static str = "tokio";
}

impl<T: Payload> Family<T> for TokioMpsc {
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
            Err(TrySendError::Full(_)) => Attempt::Full,
            Err(TrySendError::Closed(_)) => Attempt::Closed,
        }
    }

    fn try_send_batch(&mut self, batch: &mut Vec<T>) {
        let room = self.capacity().min(batch.len());
        // What did not go stays in the batch, where the caller sees it.
        if let Ok(permits) = self.try_reserve_many(room) {
            for (permit, item) in permits.zip(batch.drain(..room)) {
                permit.send(item);
            }
        }
    }
}

impl<T: Payload> TryRx<T> for Receiver<T> {
    #[inline]
    fn try_recv(&mut self) -> Option<T> {
        Receiver::try_recv(self).ok()
    }

    fn try_recv_batch(&mut self, into: &mut Vec<T>, limit: usize) {
        let mut context = Context::from_waker(Waker::noop());
        let _ = self.poll_recv_many(&mut context, into, limit);
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
        Receiver::recv(self).await
    }
}
