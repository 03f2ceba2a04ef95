//! What a channel can do, as traits that every adapter implements.

use std::future::Future;
use std::iter;

use bytes::Bytes;

use crate::rivals::subject::Subject;

/// Capacity of a channel, for both kinds of channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Slots of the queue, for a channel whose producers share one.
    pub total: usize,
    /// Slots of each lane, for a channel whose producers have a lane each.
    pub lane: usize,
}

impl Capacity {
    /// The same number for either kind of channel: `slots` in the queue that all producers share, or
    /// in each lane.
    pub fn same(slots: usize) -> Capacity {
        Capacity {
            total: slots,
            lane: slots,
        }
    }

    /// `total` slots for either kind of channel, divided among the lanes and rounded up.
    pub fn split(total: usize, producers: usize) -> Capacity {
        Capacity {
            total,
            lane: total.div_ceil(producers).max(1),
        }
    }

    /// `lane` slots for each producer, for either kind of channel.
    pub fn per_lane(lane: usize, producers: usize) -> Capacity {
        Capacity {
            total: lane * producers,
            lane,
        }
    }
}

/// Result of sending without waiting. A message that was not sent is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The message is in the channel.
    Sent,
    /// The channel was full.
    Full,
    /// The receiver is gone.
    Closed,
}

impl Attempt {
    /// Whether the message was sent.
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

    /// Opens a channel with this many producers.
    fn open(slots: Capacity, producers: usize) -> (Vec<Self::Tx>, Self::Rx);
}

/// A producer that can send without waiting.
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

/// A consumer that can receive without waiting.
pub trait TryRx<T>: Send + 'static {
    /// Receives a message if there is one.
    fn try_recv(&mut self) -> Option<T>;

    /// Receives up to `limit` messages, with the channel's own batch interface where it has one.
    fn try_recv_batch(&mut self, into: &mut Vec<T>, limit: usize) {
        while into.len() < limit {
            match self.try_recv() {
                Some(item) => into.push(item),
                None => return,
            }
        }
    }
}

/// A producer whose sends wait for room asynchronously.
pub trait AsyncTx<T>: TryTx<T> {
    /// Sends a message, waiting for room; returns false if the receiver is gone.
    fn send(&mut self, item: T) -> impl Future<Output = bool> + Send;
}

/// A consumer that waits for messages asynchronously.
pub trait AsyncRx<T>: TryRx<T> {
    /// The next message, or `None` once all producers are gone and the channel is empty.
    fn recv(&mut self) -> impl Future<Output = Option<T>> + Send;
}

/// A producer whose sends block the thread until there is room.
pub trait BlockingTx<T>: TryTx<T> {
    /// Sends a message, blocking until there is room; returns false if the receiver is gone.
    fn blocking_send(&mut self, item: T) -> bool;
}

/// A consumer that blocks the thread until a message arrives.
pub trait BlockingRx<T>: TryRx<T> {
    /// The next message, or `None` once all producers are gone and the channel is empty.
    fn blocking_recv(&mut self) -> Option<T>;
}

/// A kind of channel for tasks.
pub trait AsyncFamily<T>: Family<T, Tx: AsyncTx<T>, Rx: AsyncRx<T>> {}

impl<T, F: Family<T, Tx: AsyncTx<T>, Rx: AsyncRx<T>>> AsyncFamily<T> for F {}

/// A kind of channel for threads.
pub trait BlockingFamily<T>: Family<T, Tx: BlockingTx<T>, Rx: BlockingRx<T>> {}

impl<T, F: Family<T, Tx: BlockingTx<T>, Rx: BlockingRx<T>>> BlockingFamily<T> for F {}

/// Visits every channel for tasks.
pub trait AsyncVisitor {
    /// Called once for each kind.
    fn visit<F: AsyncFamily<u64> + AsyncFamily<Bytes>>(&mut self);
}

/// Visits every channel for threads.
pub trait BlockingVisitor {
    /// Called once for each kind.
    fn visit<F: BlockingFamily<u64>>(&mut self);
}

/// Visits every channel, to use it without waiting.
pub trait TryVisitor {
    /// Called once for each kind.
    fn visit<F: Family<u64>>(&mut self);
}

/// `count` clones of a producer, the original among them.
pub(in crate::rivals) fn handles<H: Clone>(handle: H, count: usize) -> Vec<H> {
    iter::repeat_n(handle, count).collect()
}
