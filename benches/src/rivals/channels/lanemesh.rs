//! The project's own channel, for tasks and for threads.

use lanemesh::{Receiver, Sender, TrySendError, channel};

use crate::rig::payload::Payload;
use crate::rivals::channels::traits::{
    AsyncRx, AsyncTx, Attempt, BlockingRx, BlockingTx, Family, Slots, TryRx, TryTx, handles,
};
use crate::rivals::subject::{Role, Subject};

/// `lanemesh::channel`, with as many slots in all its lanes as others have in their queue.
#[derive(Debug)]
pub struct Lanemesh;

/// `lanemesh::channel`, with as many slots in every lane as others have in their queue.
#[derive(Debug)]
pub struct LanemeshLanes;

impl Subject for Lanemesh {
    const NAME: &'static str = "lanemesh";
    const ROLE: Role = Role::Ours;
}

impl Subject for LanemeshLanes {
    const NAME: &'static str = "lanemesh-lanes";
    const ROLE: Role = Role::Ours;
}

impl<T: Payload> Family<T> for Lanemesh {
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open(slots: Slots, producers: usize) -> (Vec<Sender<T>>, Receiver<T>) {
        let (tx, rx) = channel(slots.lane);
        (handles(tx, producers), rx)
    }
}

impl<T: Payload> Family<T> for LanemeshLanes {
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open(slots: Slots, producers: usize) -> (Vec<Sender<T>>, Receiver<T>) {
        let (tx, rx) = channel(slots.total);
        (handles(tx, producers), rx)
    }
}

fn attempt<T>(result: Result<(), TrySendError<T>>) -> Attempt {
    match result {
        Ok(()) => Attempt::Sent,
        Err(TrySendError::Full(_)) => Attempt::Full,
        Err(TrySendError::Closed(_)) => Attempt::Closed,
    }
}

impl<T: Payload> TryTx<T> for Sender<T> {
    #[inline]
    fn try_send(&mut self, item: T) -> Attempt {
        attempt(Sender::try_send(self, item))
    }

    fn try_send_batch(&mut self, batch: &mut Vec<T>) {
        // What did not go stays in the batch, where the caller sees it.
        let _ = self.try_send_vec(batch);
    }
}

impl<T: Payload> TryRx<T> for Receiver<T> {
    #[inline]
    fn try_recv(&mut self) -> Option<T> {
        Receiver::try_recv(self).ok()
    }

    fn try_recv_batch(&mut self, into: &mut Vec<T>, limit: usize) {
        // Nothing there leaves the batch empty, where the caller sees it.
        let _ = self.try_recv_many(into, limit);
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

impl<T: Payload> BlockingTx<T> for Sender<T> {
    #[inline]
    fn blocking_send(&mut self, item: T) -> bool {
        Sender::blocking_send(self, item).is_ok()
    }
}

impl<T: Payload> BlockingRx<T> for Receiver<T> {
    #[inline]
    fn blocking_recv(&mut self) -> Option<T> {
        Receiver::blocking_recv(self)
    }
}
