//! A multi-producer mailbox made as a fan-in of per-producer SPSC queues, with a priority lane that no flood
//! can delay.
//!
//! Each sender has a *lane* of its own, a bounded single-producer queue, so senders do not contend for
//! one cache line; the receiver learns of lanes that have messages through a lock-free *ready list*, so
//! idle lanes cost it nothing. It needs no runtime: tasks of any executor and plain threads may send and
//! receive, mixed.
//!
//! - [`channel`]: one class of messages, [`Sender`] and [`Receiver`].
//! - [`mailbox`]: two priorities, [`MailboxSender`] and [`MailboxReceiver`].
//!
//! ```
//! use lanemesh::{Message, mailbox};
//!
//! // Lanes for 16 commands and 1024 packets per producer.
//! let (tx, mut rx) = mailbox::<&str, u64>(16, 1024);
//! let mut media = tx.clone();
//! let mut control = tx;
//! for packet in 0..1000 {
//!     media.try_send_low(packet).unwrap();
//! }
//! control.try_send_high("disconnect").unwrap();
//! assert_eq!(rx.try_recv(), Ok(Message::High("disconnect")));
//! assert_eq!(rx.try_recv(), Ok(Message::Low(0)));
//! ```
//!
//! In tasks:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let (mut tx, mut rx) = lanemesh::channel(8);
//! tokio::spawn(async move {
//!     for n in 0..100 {
//!         tx.send(n).await.unwrap();
//!     }
//! });
//! let mut sum = 0;
//! while let Some(n) = rx.recv().await {
//!     sum += n;
//! }
//! assert_eq!(sum, 4950);
//! # }
//! ```
//!
//! # Promises
//!
//! 1. **Order** per producer and class. There is none between producers, and none between high and low.
//! 2. **High first**: a high-priority message whose send returned before a receive began is what that
//!    receive gives; a batch in progress delays it by at most [`HIGH_LOOK_INTERVAL`] messages, however many
//!    low-priority lanes become ready.
//! 3. **`Ok` means seen**: the receiver gets the message, or drops it with the rest when it is dropped
//!    itself. A failed send gives the message back.
//! 4. **No lost wake-up**, of receivers or of senders that wait, as tasks or as threads.
//! 5. **Lock-free**: a producer that is stopped at any instruction delays no other producer's messages.
//!    [`SharedSender`] and [`Sender::closed`] take short locks of their own; a receiver that meets a sender
//!    in the few instructions in which it fills a shared slot stays awake until it is done.
//! 6. **Cost by active lanes**: 100,000 idle lanes cost a receive nothing.
//! 7. **No read-modify-write** on a line that another thread writes, while the receiver is busy with the
//!    lane: a send is a push to the lane's ring, one fence, and a load. A sender that sends now and then
//!    uses [shared slots](Builder::shared_slots) instead, with one exchange a message; it takes to its lane
//!    within 16 messages of a burst.
//! 8. **No allocation per message** once a lane is at its size. An idle lane takes at most 1 KiB for
//!    messages of 8 bytes: about 170 if none has met another in it, 800 with its first ring.
//! 9. **Drops run once**, on every path, also when a message's own drop panics.
//! 10. **`Send` and `Sync`** only for messages that are `Send`.
//! 11. **Cooperative**: a receiver that is never empty yields to its executor once in
//!     [128 messages, or in about 50 µs](Builder::budget) if they are quick.
//!
//! A waiting sender is woken when about half of what it may have waiting has been taken, and at the latest
//! when all has. Two sides that each
//! wait for room in a full lane to the other wait for ever: give one of them a `try_send`.
//!
//! # Features
//!
//! None is on by default. `stream`: receivers implement `futures_core::Stream`. `tracing`: events at level
//! trace when lanes open and end, and channels close. `quanta`: queueing delay in the statistics.
//! `membarrier`: where the system has it, and once `register_membarrier` has been called, producers of busy lanes
//! send without a memory fence.
//!
//! # What does not compile
//!
//! Handles are `Send` and `Sync` only for messages that are `Send`. None of these compiles:
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>(_: T) {}
//! let (tx, _rx) = lanemesh::channel::<std::rc::Rc<u8>>(1);
//! is_send(tx);
//! ```
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>(_: T) {}
//! let (_tx, rx) = lanemesh::channel::<std::rc::Rc<u8>>(1);
//! is_send(rx);
//! ```
//!
//! ```compile_fail,E0277
//! fn is_sync<T: Sync>(_: T) {}
//! let (tx, _rx) = lanemesh::channel::<std::rc::Rc<u8>>(1);
//! is_sync(tx);
//! ```
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>(_: T) {}
//! let (tx, _rx) = lanemesh::channel::<std::rc::Rc<u8>>(1);
//! is_send(tx.shared());
//! ```
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>(_: T) {}
//! let (tx, _rx) = lanemesh::channel::<std::rc::Rc<u8>>(1);
//! is_send(tx.downgrade());
//! ```
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>(_: T) {}
//! let (tx, _rx) = lanemesh::mailbox::<std::rc::Rc<u8>, u8>(1, 1);
//! is_send(tx);
//! ```
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>(_: T) {}
//! let (_tx, rx) = lanemesh::mailbox::<u8, std::rc::Rc<u8>>(1, 1);
//! is_send(rx);
//! ```

mod builder;
mod config;
mod delay;
mod error;
mod fan_in;
mod mailbox;
mod receiver;
mod sender;
mod stats;
mod sync;

#[cfg(feature = "quanta")]
pub use stats::DelayStats;
#[cfg(any(feature = "membarrier", loom))]
pub use sync::membarrier::register_membarrier;
pub use {
    builder::{Builder, MailboxBuilder},
    error::{
        RecvTimeoutError, SendError, SendManyError, SendTimeoutError, TryRecvError, TrySendError,
    },
    mailbox::{
        HIGH_LOOK_INTERVAL, Message, Overflow, Sent,
        class_receiver::ClassReceiver,
        receiver::MailboxReceiver,
        sender::{MailboxSender, SharedMailboxSender, WeakMailboxSender},
    },
    receiver::{IntoIter, Iter, Receiver, TryIter},
    sender::{Permit, Sender, shared::SharedSender, weak::WeakSender},
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
