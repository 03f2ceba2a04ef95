//! What a channel with two classes can do.

use std::future::Future;

use crate::rivals::channels::traits::{Attempt, Capacity};
use crate::rivals::subject::Subject;

/// A message of one of the two classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Control, which should overtake data.
    High(u64),
    /// Data.
    Low(u64),
}

/// A kind of channel with two classes of message.
pub trait TwoClass: Subject {
    /// Whether the messages of one producer and one class arrive in the order in which they were
    /// sent.
    const IN_ORDER: bool = true;

    /// One producer of both classes.
    type Tx: TwoClassTx;
    /// The consumer.
    type Rx: TwoClassRx;

    /// Opens a channel. A queue that both classes share has the slots of both together.
    fn open(high: Capacity, low: Capacity, producers: usize) -> (Vec<Self::Tx>, Self::Rx);
}

/// A producer of both classes that sends without waiting.
pub trait TwoClassTx: Send + 'static {
    /// Sends control if there is room.
    fn try_high(&mut self, stamp: u64) -> Attempt;

    /// Sends data if there is room.
    fn try_low(&mut self, stamp: u64) -> Attempt;
}

/// A consumer of both classes.
pub trait TwoClassRx: Send + 'static {
    /// Hands over every message until all producers are gone and the channel is empty; control
    /// comes first if the channel distinguishes the classes.
    fn for_each(self, handle: impl FnMut(Class) + Send) -> impl Future<Output = ()> + Send;
}

/// Visits every kind of channel with two classes.
pub trait TwoClassVisitor {
    /// Called once for each kind.
    fn visit<F: TwoClass>(&mut self);
}
