//! crossbeam-channel.

use crossbeam_channel::{Receiver, Sender, TrySendError};

use crate::rig::payload::Payload;
use crate::rivals::channels::traits::{
    Attempt, BlockingRx, BlockingTx, Family, Slots, TryRx, TryTx, handles,
};
use crate::rivals::subject::Subject;

/// `crossbeam_channel::bounded`.
#[derive(Debug)]
pub struct Crossbeam;

impl Subject for Crossbeam {
    const NAME: &'static str = "crossbeam";
}

impl<T: Payload> Family<T> for Crossbeam {
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open(slots: Slots, producers: usize) -> (Vec<Sender<T>>, Receiver<T>) {
        let (tx, rx) = crossbeam_channel::bounded(slots.total);
        (handles(tx, producers), rx)
    }
}

impl<T: Payload> TryTx<T> for Sender<T> {
    #[inline]
    fn try_send(&mut self, item: T) -> Attempt {
        match Sender::try_send(self, item) {
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
