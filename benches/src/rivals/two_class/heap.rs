//! async-priority-channel: one heap, ordered by priority.

use async_priority_channel::{Receiver, Sender, TrySendError, bounded};

use crate::rivals::channels::traits::{Attempt, Capacity, handles};
use crate::rivals::subject::Subject;
use crate::rivals::two_class::traits::{Class, TwoClass, TwoClassRx, TwoClassTx};

/// `async_priority_channel::bounded` with two priorities. Its heap does not keep the order of
/// messages of the same priority.
#[derive(Debug)]
pub struct AsyncPriorityChannel;

impl Subject for AsyncPriorityChannel {
    const NAME: &'static str = "async-priority-channel";
}

impl TwoClass for AsyncPriorityChannel {
    const IN_ORDER: bool = false;

    type Tx = Sender<u64, bool>;
    type Rx = Receiver<u64, bool>;

    fn open(high: Capacity, low: Capacity, producers: usize) -> (Vec<Self::Tx>, Self::Rx) {
        let (tx, rx) = bounded((high.total + low.total) as u64);
        (handles(tx, producers), rx)
    }
}

fn attempt(result: Result<(), TrySendError<(u64, bool)>>) -> Attempt {
    match result {
        Ok(()) => Attempt::Sent,
        Err(TrySendError::Full(_)) => Attempt::Full,
        Err(TrySendError::Closed(_)) => Attempt::Closed,
    }
}

impl TwoClassTx for Sender<u64, bool> {
    #[inline]
    fn try_high(&mut self, stamp: u64) -> Attempt {
        attempt(self.try_send(stamp, true))
    }

    #[inline]
    fn try_low(&mut self, stamp: u64) -> Attempt {
        attempt(self.try_send(stamp, false))
    }
}

impl TwoClassRx for Receiver<u64, bool> {
    async fn for_each(self, mut handle: impl FnMut(Class) + Send) {
        while let Ok((stamp, is_high)) = self.recv().await {
            handle(if is_high {
                Class::High(stamp)
            } else {
                Class::Low(stamp)
            });
        }
    }
}
