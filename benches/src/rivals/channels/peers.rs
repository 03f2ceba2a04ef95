//! The peers: channels whose producers share one queue.

use std::task::{Context, Waker};

use crossfire::mpsc::Array;
use futures_util::{SinkExt, StreamExt};

use crate::rig::payload::Payload;
use crate::rivals::channels::adapter::adapter;
use crate::rivals::channels::traits::{
    AsyncRx, AsyncTx, Attempt, BlockingRx, BlockingTx, Capacity, Family, TryRx, TryTx, handles,
};
use crate::rivals::subject::Subject;

adapter! {
    /// `async_channel::bounded`.
    AsyncChannel = "async-channel",
    for<T> (async_channel::Sender<T>, async_channel::Receiver<T>);
    open(slots) => async_channel::bounded(slots.total);
    try_send(self, item) => async_channel::Sender::try_send(self, item),
        Ok(()) => Sent, Err(async_channel::TrySendError::Full(_)) => Full;
    try_recv(self) => async_channel::Receiver::try_recv(self).ok();
    send(self, item) => async_channel::Sender::send(self, item).await.is_ok();
    recv(self) => async_channel::Receiver::recv(self).await.ok();
}

adapter! {
    /// `crossbeam_channel::bounded`.
    Crossbeam = "crossbeam",
    for<T> (crossbeam_channel::Sender<T>, crossbeam_channel::Receiver<T>);
    open(slots) => crossbeam_channel::bounded(slots.total);
    try_send(self, item) => crossbeam_channel::Sender::try_send(self, item),
        Ok(()) => Sent, Err(crossbeam_channel::TrySendError::Full(_)) => Full;
    try_recv(self) => crossbeam_channel::Receiver::try_recv(self).ok();
    blocking_send(self, item) => crossbeam_channel::Sender::send(self, item).is_ok();
    blocking_recv(self) => crossbeam_channel::Receiver::recv(self).ok();
}

adapter! {
    /// `crossfire::mpsc::bounded_async`.
    CrossfireAsync = "crossfire",
    for<T> (crossfire::MAsyncTx<Array<T>>, crossfire::AsyncRx<Array<T>>);
    open(slots) => crossfire::mpsc::bounded_async(slots.total);
    try_send(self, item) => (**self).try_send(item),
        Ok(()) => Sent, Err(crossfire::TrySendError::Full(_)) => Full;
    try_recv(self) => crossfire::AsyncRx::try_recv(self).ok();
    send(self, item) => (**self).send(item).await.is_ok();
    recv(self) => crossfire::AsyncRx::recv(self).await.ok();
}

adapter! {
    /// `crossfire::mpsc::bounded_blocking`.
    CrossfireBlocking = "crossfire",
    for<T> (crossfire::MTx<Array<T>>, crossfire::Rx<Array<T>>);
    open(slots) => crossfire::mpsc::bounded_blocking(slots.total);
    try_send(self, item) => (**self).try_send(item),
        Ok(()) => Sent, Err(crossfire::TrySendError::Full(_)) => Full;
    try_recv(self) => crossfire::Rx::try_recv(self).ok();
    blocking_send(self, item) => (**self).send(item).is_ok();
    blocking_recv(self) => crossfire::Rx::recv(self).ok();
}

adapter! {
    /// `fibre::mpsc::bounded_async`.
    FibreAsync = "fibre",
    for<T> (fibre::mpsc::BoundedAsyncSender<T>, fibre::mpsc::BoundedAsyncReceiver<T>);
    open(slots) => fibre::mpsc::bounded_async(slots.total);
    try_send(self, item) => fibre::mpsc::BoundedAsyncSender::try_send(self, item),
        Ok(()) => Sent, Err(fibre::TrySendError::Full(_)) => Full;
    try_send_batch(self, batch) => {
        let _ = self.try_send_batch_mut(batch);
    }
    try_recv(self) => fibre::mpsc::BoundedAsyncReceiver::try_recv(self).ok();
    try_recv_batch(self, into, limit) => {
        let _ = self.try_recv_batch_mut(into, limit);
    }
    send(self, item) => fibre::mpsc::BoundedAsyncSender::send(self, item).await.is_ok();
    recv(self) => fibre::mpsc::BoundedAsyncReceiver::recv(self).await.ok();
}

adapter! {
    /// `fibre::mpsc::bounded`.
    FibreBlocking = "fibre",
    for<T> (fibre::mpsc::BoundedSyncSender<T>, fibre::mpsc::BoundedSyncReceiver<T>);
    open(slots) => fibre::mpsc::bounded(slots.total);
    try_send(self, item) => fibre::mpsc::BoundedSyncSender::try_send(self, item),
        Ok(()) => Sent, Err(fibre::TrySendError::Full(_)) => Full;
    try_recv(self) => fibre::mpsc::BoundedSyncReceiver::try_recv(self).ok();
    blocking_send(self, item) => fibre::mpsc::BoundedSyncSender::send(self, item).is_ok();
    blocking_recv(self) => fibre::mpsc::BoundedSyncReceiver::recv(self).ok();
}

adapter! {
    /// `flume::bounded`, for tasks and for threads.
    Flume = "flume" [SENDS_CANCELLED = true],
    for<T> (flume::Sender<T>, flume::Receiver<T>);
    open(slots) => flume::bounded(slots.total);
    try_send(self, item) => flume::Sender::try_send(self, item),
        Ok(()) => Sent, Err(flume::TrySendError::Full(_)) => Full;
    try_recv(self) => flume::Receiver::try_recv(self).ok();
    try_recv_batch(self, into, _limit) => {
        into.extend(self.drain());
    }
    send(self, item) => self.send_async(item).await.is_ok();
    recv(self) => self.recv_async().await.ok();
    blocking_send(self, item) => flume::Sender::send(self, item).is_ok();
    blocking_recv(self) => flume::Receiver::recv(self).ok();
}

adapter! {
    /// `futures_channel::mpsc::channel`, which gives every producer one slot beyond its capacity.
    FuturesMpsc = "futures",
    for<T> (futures_channel::mpsc::Sender<T>, futures_channel::mpsc::Receiver<T>);
    open(slots) => futures_channel::mpsc::channel(slots.total);
    try_send(self, item) => futures_channel::mpsc::Sender::try_send(self, item),
        Ok(()) => Sent, Err(error) if error.is_full() => Full;
    try_recv(self) => futures_channel::mpsc::Receiver::try_recv(self).ok();
    send(self, item) => SinkExt::send(self, item).await.is_ok();
    recv(self) => self.next().await;
}

adapter! {
    /// `kanal::bounded_async`.
    KanalAsync = "kanal" [SENDS_CANCELLED = true],
    for<T> (kanal::AsyncSender<T>, kanal::AsyncReceiver<T>);
    open(slots) => kanal::bounded_async(slots.total);
    try_send(self, item) => kanal::AsyncSender::try_send(self, item),
        Ok(true) => Sent, Ok(false) => Full;
    try_recv(self) => kanal::AsyncReceiver::try_recv(self).ok().flatten();
    try_recv_batch(self, into, _limit) => {
        let _ = self.drain_into(into);
    }
    send(self, item) => kanal::AsyncSender::send(self, item).await.is_ok();
    recv(self) => kanal::AsyncReceiver::recv(self).await.ok();
}

adapter! {
    /// `kanal::bounded`.
    KanalBlocking = "kanal",
    for<T> (kanal::Sender<T>, kanal::Receiver<T>);
    open(slots) => kanal::bounded(slots.total);
    try_send(self, item) => kanal::Sender::try_send(self, item),
        Ok(true) => Sent, Ok(false) => Full;
    try_recv(self) => kanal::Receiver::try_recv(self).ok().flatten();
    try_recv_batch(self, into, _limit) => {
        let _ = self.drain_into(into);
    }
    blocking_send(self, item) => kanal::Sender::send(self, item).is_ok();
    blocking_recv(self) => kanal::Receiver::recv(self).ok();
}

adapter! {
    /// `std::sync::mpsc::sync_channel`.
    StdMpsc = "std",
    for<T> (std::sync::mpsc::SyncSender<T>, std::sync::mpsc::Receiver<T>);
    open(slots) => std::sync::mpsc::sync_channel(slots.total);
    try_send(self, item) => std::sync::mpsc::SyncSender::try_send(self, item),
        Ok(()) => Sent, Err(std::sync::mpsc::TrySendError::Full(_)) => Full;
    try_recv(self) => std::sync::mpsc::Receiver::try_recv(self).ok();
    blocking_send(self, item) => std::sync::mpsc::SyncSender::send(self, item).is_ok();
    blocking_recv(self) => std::sync::mpsc::Receiver::recv(self).ok();
}

adapter! {
    /// `tachyonix::channel`.
    Tachyonix = "tachyonix",
    for<T> (tachyonix::Sender<T>, tachyonix::Receiver<T>);
    open(slots) => tachyonix::channel(slots.total);
    try_send(self, item) => tachyonix::Sender::try_send(self, item),
        Ok(()) => Sent, Err(tachyonix::TrySendError::Full(_)) => Full;
    try_recv(self) => tachyonix::Receiver::try_recv(self).ok();
    send(self, item) => tachyonix::Sender::send(self, item).await.is_ok();
    recv(self) => tachyonix::Receiver::recv(self).await.ok();
}

adapter! {
    /// `thingbuf::mpsc::channel`, with messages sent by value.
    Thingbuf = "thingbuf",
    for<T> (thingbuf::mpsc::Sender<T>, thingbuf::mpsc::Receiver<T>);
    open(slots) => thingbuf::mpsc::channel(slots.total);
    try_send(self, item) => thingbuf::mpsc::Sender::try_send(self, item),
        Ok(()) => Sent, Err(thingbuf::mpsc::errors::TrySendError::Full(_)) => Full;
    try_recv(self) => thingbuf::mpsc::Receiver::try_recv(self).ok();
    send(self, item) => thingbuf::mpsc::Sender::send(self, item).await.is_ok();
    recv(self) => thingbuf::mpsc::Receiver::recv(self).await;
}

adapter! {
    /// `tokio::sync::mpsc::channel`.
    TokioMpsc = "tokio",
    for<T> (tokio::sync::mpsc::Sender<T>, tokio::sync::mpsc::Receiver<T>);
    open(slots) => tokio::sync::mpsc::channel(slots.total);
    try_send(self, item) => tokio::sync::mpsc::Sender::try_send(self, item),
        Ok(()) => Sent, Err(tokio::sync::mpsc::error::TrySendError::Full(_)) => Full;
    try_send_batch(self, batch) => {
        let room = self.capacity().min(batch.len());
        // Messages that did not fit stay in the batch, where the caller sees them.
        if let Ok(permits) = self.try_reserve_many(room) {
            for (permit, item) in permits.zip(batch.drain(..room)) {
                permit.send(item);
            }
        }
    }
    try_recv(self) => tokio::sync::mpsc::Receiver::try_recv(self).ok();
    try_recv_batch(self, into, limit) => {
        let mut context = Context::from_waker(Waker::noop());
        let _ = self.poll_recv_many(&mut context, into, limit);
    }
    send(self, item) => tokio::sync::mpsc::Sender::send(self, item).await.is_ok();
    recv(self) => tokio::sync::mpsc::Receiver::recv(self).await;
}
