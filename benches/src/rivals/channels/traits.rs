//! What a channel can do, as traits that every adapter implements.

use std::future::Future;
use std::iter;

use bytes::Bytes;

use crate::rivals::subject::Subject;

/// Room in a channel, told in both ways of counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// For a channel whose producers share one queue.
    pub total: usize,
    /// For a channel whose producers have a queue each.
    pub lane: usize,
}

impl Slots {
    /// The same number of slots for both kinds: `total`, shared out and rounded up to whole slots.
    pub fn split(total: usize, producers: usize) -> Slots {
        Slots {
            total,
            lane: total.div_ceil(producers).max(1),
        }
    }

    /// The same number of slots for both kinds: `lane` for each producer.
    pub fn per_lane(lane: usize, producers: usize) -> Slots {
        Slots {
            total: lane * producers,
            lane,
        }
    }
}

/// What became of an attempt to send without waiting; a message that did not go is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The channel has it.
    Sent,
    /// There was no room.
    Full,
    /// The receiver is gone.
    Closed,
}

impl Attempt {
    /// Whether the message went.
    #[inline]
    pub fn sent(self) -> bool {
        self == Attempt::Sent
    }
}

/// A kind of channel for messages of type `T`.
pub trait Family<T>: Subject {
    /// One producer.
    type Tx: TryTx<T>;
    /// The consumer.
    type Rx: TryRx<T>;

    /// Opens a channel with as many producers as asked for.
    fn open(slots: Slots, producers: usize) -> (Vec<Self::Tx>, Self::Rx);
}

/// A producer that need not wait.
pub trait TryTx<T>: Send + 'static {
    /// Sends if there is room.
    fn try_send(&mut self, item: T) -> Attempt;

    /// Sends from the front of `batch` while there is room, with the channel's own batch interface
    /// where it has one.
    fn try_send_batch(&mut self, batch: &mut Vec<T>) {
        for item in batch.drain(..) {
            if !self.try_send(item).sent() {
                return;
            }
        }
    }
}

/// A consumer that need not wait.
pub trait TryRx<T>: Send + 'static {
    /// Takes a message if there is one.
    fn try_recv(&mut self) -> Option<T>;

    /// Takes up to `limit` messages, with the channel's own batch interface where it has one.
    fn try_recv_batch(&mut self, into: &mut Vec<T>, limit: usize) {
        while into.len() < limit {
            match self.try_recv() {
                Some(item) => into.push(item),
                None => return,
            }
        }
    }
}

/// A producer that waits for room as a task.
pub trait AsyncTx<T>: TryTx<T> {
    /// Sends, waiting for room; false when the receiver is gone.
    fn send(&mut self, item: T) -> impl Future<Output = bool> + Send;
}

/// A consumer that waits as a task.
pub trait AsyncRx<T>: TryRx<T> {
    /// The next message, or `None` when all producers are gone and the channel is drained.
    fn recv(&mut self) -> impl Future<Output = Option<T>> + Send;
}

/// A producer that waits for room as a thread.
pub trait BlockingTx<T>: TryTx<T> {
    /// Sends, waiting for room; false when the receiver is gone.
    fn blocking_send(&mut self, item: T) -> bool;
}

/// A consumer that waits as a thread.
pub trait BlockingRx<T>: TryRx<T> {
    /// The next message, or `None` when all producers are gone and the channel is drained.
    fn blocking_recv(&mut self) -> Option<T>;
}

/// A kind of channel for tasks.
pub trait AsyncFamily<T>: Family<T, Tx: AsyncTx<T>, Rx: AsyncRx<T>> {}

impl<T, F: Family<T, Tx: AsyncTx<T>, Rx: AsyncRx<T>>> AsyncFamily<T> for F {}

/// A kind of channel for threads.
pub trait BlockingFamily<T>: Family<T, Tx: BlockingTx<T>, Rx: BlockingRx<T>> {}

impl<T, F: Family<T, Tx: BlockingTx<T>, Rx: BlockingRx<T>>> BlockingFamily<T> for F {}

/// Does something with every channel for tasks.
pub trait AsyncVisitor {
    /// Called once for each kind.
    fn visit<F: AsyncFamily<u64> + AsyncFamily<Bytes>>(&mut self);
}

/// Does something with every channel for threads.
pub trait BlockingVisitor {
    /// Called once for each kind.
    fn visit<F: BlockingFamily<u64>>(&mut self);
}

/// Does something with every channel, without waiting on it.
pub trait TryVisitor {
    /// Called once for each kind.
    fn visit<F: Family<u64>>(&mut self);
}

/// As many handles as asked for, the given one among them.
pub(in crate::rivals) fn handles<H: Clone>(handle: H, count: usize) -> Vec<H> {
    iter::repeat_n(handle, count).collect()
}
