//! A multi-producer mailbox made as a fan-in of per-producer SPSC queues, with a priority lane.

mod config;
mod delay;
mod error;
mod express;
mod inbox;
mod lane;
mod mailbox;
mod mesh;
mod pace;
mod park;
mod ready;
mod receiver;
mod ring;
mod sender;
mod shared_sender;
mod stats;
mod sync;
mod wake;

#[cfg(feature = "quanta")]
pub use stats::DelayStats;
pub use {
    config::{Builder, MailboxBuilder},
    error::{
        RecvTimeoutError, SendError, SendManyError, SendTimeoutError, TryRecvError, TrySendError,
    },
    mailbox::{
        HIGH_LOOK_INTERVAL, MailboxReceiver, MailboxSender, Message, Overflow, Sent,
        SharedMailboxSender, WeakMailboxSender,
    },
    receiver::{IntoIter, Iter, Receiver, TryIter},
    sender::{Permit, Sender, WeakSender},
    shared_sender::SharedSender,
    stats::{MailboxStats, Stats},
};

/// A channel of lanes that hold exactly `lane_capacity` messages each.
///
/// # Panics
///
/// Panics if `lane_capacity` is zero, or more than `isize::MAX / 2`.
#[track_caller]
pub fn channel<T>(lane_capacity: usize) -> (Sender<T>, Receiver<T>) {
    Builder::new(lane_capacity).build()
}

/// A mailbox with two priorities, and for each a lane of exactly the given capacity per producer.
///
/// # Panics
///
/// Panics if a capacity is zero, or more than `isize::MAX / 2`.
#[track_caller]
pub fn mailbox<High, Low>(
    high_lane_capacity: usize,
    low_lane_capacity: usize,
) -> (MailboxSender<High, Low>, MailboxReceiver<High, Low>) {
    MailboxBuilder::new(high_lane_capacity, low_lane_capacity).build()
}
