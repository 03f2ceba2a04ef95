//! The project's own channel, for tasks and for threads.

use lanemesh::{Builder, Receiver, Sender, SharedSender, TrySendError, channel};

use crate::rig::payload::Payload;
use crate::rivals::channels::adapter::{adapter, subject};
use crate::rivals::channels::traits::{
    AsyncRx, AsyncTx, Attempt, BlockingRx, BlockingTx, Capacity, Family, TryRx, TryTx, handles,
};
use crate::rivals::subject::Subject;

adapter! {
    /// `lanemesh::channel`: every sender has a lane of its own.
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
    /// `lanemesh::channel` without shared slots for occasional messages.
    LanemeshNoExpress = "no-express" (Ablation),
    for<T> (Sender<T>, Receiver<T>);
    open(slots) => Builder::new(slots.lane).shared_slots(0).build();
}

subject! {
    /// A channel with one bound for all lanes, [`Builder::total_capacity`].
    LanemeshTotal = "lanemesh-total" (Ours),
    for<T> (Sender<T>, Receiver<T>);
    open(slots) => Builder::new(slots.total).total_capacity(slots.total).build();
}

subject! {
    /// `lanemesh::channel` with a [`SharedSender`], of which every producer has a clone, so that
    /// they share one lane.
    LanemeshShared = "lanemesh-shared" (Ours),
    for<T> (SharedSender<T>, Receiver<T>);
    open(slots) => {
        let (tx, rx) = channel(slots.total);
        (tx.shared(), rx)
    };
}

impl<T: Payload> TryTx<T> for SharedSender<T> {
    #[inline]
    fn try_send(&mut self, item: T) -> Attempt {
        match SharedSender::try_send(self, item) {
            Ok(()) => Attempt::Sent,
            Err(TrySendError::Full(_)) => Attempt::Full,
            Err(TrySendError::Closed(_)) => Attempt::Closed,
        }
    }
}

impl<T: Payload> AsyncTx<T> for SharedSender<T> {
    #[inline]
    async fn send(&mut self, item: T) -> bool {
        SharedSender::send(self, item).await.is_ok()
    }
}

impl<T: Payload> BlockingTx<T> for SharedSender<T> {
    #[inline]
    fn blocking_send(&mut self, item: T) -> bool {
        SharedSender::blocking_send(self, item).is_ok()
    }
}
