//! The project's own channel, for tasks and for threads.

use lanemesh::{Receiver, Sender, TrySendError, channel};

use crate::rig::payload::Payload;
use crate::rivals::channels::adapter::{adapter, subject};
use crate::rivals::channels::traits::{
    AsyncRx, AsyncTx, Attempt, BlockingRx, BlockingTx, Capacity, Family, TryRx, TryTx, handles,
};
use crate::rivals::subject::Subject;

adapter! {
    /// `lanemesh::channel` with as many slots in all lanes together as a peer has in its queue.
    Lanemesh = "lanemesh" (Ours),
    for<T> (Sender<T>, Receiver<T>);
    open(slots) => channel(slots.lane);
    try_send(self, item) => Sender::try_send(self, item),
        Ok(()) => Sent, Err(TrySendError::Full(_)) => Full;
    try_send_batch(self, batch) => {
        // Messages that did not fit stay in the batch, where the caller sees them.
        let _ = self.try_send_vec(batch);
    }
    try_recv(self) => Receiver::try_recv(self).ok();
    try_recv_batch(self, into, limit) => {
        // If the channel is empty, so is the batch, which the caller sees.
        let _ = self.try_recv_many(into, limit);
    }
    send(self, item) => Sender::send(self, item).await.is_ok();
    recv(self) => Receiver::recv(self).await;
    blocking_send(self, item) => Sender::blocking_send(self, item).is_ok();
    blocking_recv(self) => Receiver::blocking_recv(self);
}

subject! {
    /// `lanemesh::channel` with as many slots in every lane as a peer has in its queue.
    LanemeshLanes = "lanemesh-lanes" (Ours),
    for<T> (Sender<T>, Receiver<T>);
    open(slots) => channel(slots.total);
}
