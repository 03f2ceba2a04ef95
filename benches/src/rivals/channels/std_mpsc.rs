//! The standard library's bounded channel.

use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};

use crate::rig::payload::Payload;
use crate::rivals::channels::traits::{
    Attempt, BlockingRx, BlockingTx, Family, Slots, TryRx, TryTx, handles,
};
use crate::rivals::subject::Subject;

/// `std::sync::mpsc::sync_channel`.
#[derive(Debug)]
pub struct StdMpsc;

impl Subject for StdMpsc {
    const NAME: &'static str = "std";
}

impl<T: Payload> Family<T> for StdMpsc {
    type Tx = SyncSender<T>;
    type Rx = Receiver<T>;

    fn open(slots: Slots, producers: usize) -> (Vec<SyncSender<T>>, Receiver<T>) {
        let (tx, rx) = mpsc::sync_channel(slots.total);
        (handles(tx, producers), rx)
    }
}

impl<T: Payload> TryTx<T> for SyncSender<T> {
    #[inline]
    fn try_send(&mut self, item: T) -> Attempt {
        match SyncSender::try_send(self, item) {
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
}

impl<T: Payload> BlockingTx<T> for SyncSender<T> {
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
