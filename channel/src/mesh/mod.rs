//! Several receivers: a mesh of n senders and m receivers, with a lane from each sender to each receiver.
//!
//! Each message goes to one receiver, which is chosen by the sender: by the message's key, by turns, or by load. So
//! neither senders nor receivers contend for a queue. Receivers may join and leave while others send.
//!
//! - [`mesh`]: one class of messages, [`MeshSender`] and [`MeshReceiver`]; [`MeshBuilder`] has the settings.
//! - [`MailboxMeshBuilder`]: two classes, [`MailboxMeshSender`] and [`MailboxMeshReceiver`].
//!
//! ```
//! use lanemesh::mesh::{MeshBuilder, key};
//!
//! // (account, amount): what belongs to one account is received in order.
//! let builder = MeshBuilder::new(16).by_key(|payment: &(&str, u32)| Some(key(payment.0)));
//! let (mut tx, mut first) = builder.build();
//! let mut second = first.add_receiver().unwrap();
//! for amount in 1..=3 {
//!     tx.try_send(("alice", amount)).unwrap();
//!     tx.try_send(("bob", amount)).unwrap();
//! }
//! let mut alice = Vec::new();
//! while let Ok((account, amount)) = first.try_recv().or_else(|_| second.try_recv()) {
//!     if account == "alice" {
//!         alice.push(amount);
//!     }
//! }
//! assert_eq!(alice, [1, 2, 3]);
//! ```
//!
//! # Promises
//!
//! Each lane keeps the [promises of a channel](crate#promises). Besides:
//!
//! 1. **Each accepted message is received once**, by one receiver; or it is returned by [`MeshReceiver::leave`], or
//!    dropped with a receiver that cannot hand it on: the last one, or one that leaves after all senders were dropped.
//! 2. **Order per key**: messages with one key from one sender are received in the order in which they were sent, also
//!    if receivers join and leave meanwhile. *Received* means taken by a function such as `recv`. When a key moves to
//!    another receiver, that one may receive its next message while the former one still handles the last; if that
//!    matters, acknowledge messages. There is no order between messages without a key.
//! 3. **Few keys move**: a receiver that joins takes its share of the keys, from all others; one that leaves gives up
//!    its keys, and no other key moves.
//! 4. **A waiting send goes elsewhere** if its receiver leaves, and looks again when one joins.
//! 5. **The cost of a send** is that of a send to a channel, one load of a line that is written when a receiver joins or
//!    leaves, and the choice: a few instructions per receiver for a key or by load, none by turns.
//!
//! # When receivers join or leave
//!
//! A sender that has sent messages of a key to one receiver, and whose key has moved to another, holds the next message
//! of the key back until those before it have been received: `try_send` says that there is no room, `send` waits. Other
//! keys are not affected. A receiver that leaves hands on what it has, and then this means: until the messages of all
//! receivers that are leaving have been received by others.
//!
//! A send that is held back is woken when half of the lane's capacity has been received from the former lane, and when
//! the receiver finds it empty. So a receiver that takes a few messages and then stops may leave it waiting, as it may
//! leave one that waits for room.
//!
//! Once the last receiver has left, the mesh is closed: sends return their messages, and no receiver can be added. Once
//! the last sender was dropped, each receiver takes what it has and then ends; what it leaves is not handed on, as the
//! others may have ended.
//!
//! # What does not compile
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>(_: T) {}
//! let (tx, _rx) = lanemesh::mesh::mesh::<std::rc::Rc<u8>>(1);
//! is_send(tx);
//! ```
//!
//! ```compile_fail,E0277
//! fn is_send<T: Send>(_: T) {}
//! let (_tx, rx) = lanemesh::mesh::mesh::<std::rc::Rc<u8>>(1);
//! is_send(rx);
//! ```
//!
//! # Memory
//!
//! n senders and m receivers have up to n × m lanes, each opened by its first message; see [memory](crate#memory) for
//! what they take.

// One thing: receiver, sender: each makes the other.

mod builder;
mod handover;
mod lanes;
mod mailbox;
mod membership;
mod one_class;
mod receiver;
mod rule;
mod sender;
mod table;
mod wait;

pub use self::{
    builder::{MailboxMeshBuilder, MeshBuilder},
    mailbox::{
        membership::{HandedOn, MailboxMembership},
        receiver::MailboxMeshReceiver,
        sender::MailboxMeshSender,
    },
    receiver::MeshReceiver,
    rule::{Balance, key},
    sender::{MeshSender, WeakMeshSender},
};

/// A mesh of lanes that hold exactly `lane_capacity` messages each, with one sender and one receiver. Messages go to the
/// receivers by turns.
///
/// # Panics
///
/// Panics if `lane_capacity` is zero, or more than `isize::MAX / 2`.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (mut tx, mut rx) = lanemesh::mesh::mesh(8);
/// let workers: Vec<_> = (0..4)
///     .map(|_| {
///         let mut rx = tx.add_receiver().unwrap();
///         tokio::spawn(async move {
///             let mut sum = 0;
///             while let Some(n) = rx.recv().await {
///                 sum += n;
///             }
///             sum
///         })
///     })
///     .collect();
/// rx.close(); // the first receiver takes no part
/// for n in 0..100 {
///     tx.send(n).await.unwrap();
/// }
/// drop(tx);
/// let mut sum = 0;
/// for worker in workers {
///     sum += worker.await.unwrap();
/// }
/// assert_eq!(sum, 4950);
/// # }
/// ```
#[track_caller]
pub fn mesh<T>(lane_capacity: usize) -> (MeshSender<T>, MeshReceiver<T>) {
    MeshBuilder::new(lane_capacity).build()
}
