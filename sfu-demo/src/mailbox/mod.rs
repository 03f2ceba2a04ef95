//! The two-priority mailbox of every actor, as a small trait with static dispatch.
//!
//! The trait lets `--mailbox` replace lanemesh by another channel. None of the rivals has priorities, so each is
//! used as a pair of channels; one whose receive future is not cancel-safe (kanal), or that has none (crossbeam),
//! gets a waker beside it (`notify`).

use std::fmt;
use std::future::Future;

mod kind;
pub mod mesh;
mod notify;
pub mod pair;
pub mod rivals;

use lanemesh_runtime::{Actor, ActorHandle};

pub use kind::{MailboxKind, OnMailbox};
/// A message of either priority: control (join, leave, keyframe request, disconnect) is high, media low.
pub use lanemesh::Message;

/// Why a message was not accepted. It gives the message back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused<T> {
    /// There is no room for another message of this priority.
    Full(T),
    /// The receiver is gone.
    Closed(T),
}

impl<T> Refused<T> {
    /// The message that was not accepted.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(message) | Self::Closed(message) => message,
        }
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the mailbox is full",
            Self::Closed(_) => "the mailbox is closed",
        })
    }
}

impl<T: fmt::Debug> std::error::Error for Refused<T> {}

/// The state of a receiver when it was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observed {
    /// Control messages in the mailbox.
    pub high_depth: usize,
    /// Media messages in the mailbox.
    pub low_depth: usize,
    /// How often the receiver went to sleep.
    pub sleeps: u64,
}

/// A kind of mailbox, which makes senders and receivers.
pub trait Mailbox: fmt::Debug + Send + Sync + 'static {
    /// The name that `--mailbox` takes.
    const NAME: &'static str;

    /// Whether capacities are per sender rather than for all senders together.
    const PER_SENDER: bool = false;

    /// The sending half.
    type Sender<H: Send + 'static, L: Send + 'static>: Sender<H, L>;
    /// The receiving half.
    type Receiver<H: Send + 'static, L: Send + 'static>: Receiver<H, L>;

    /// Makes a mailbox with room for `high` control and `low` media messages: from each sender if
    /// [`Mailbox::PER_SENDER`], otherwise from all senders together.
    ///
    /// # Panics
    ///
    /// If a capacity is 0.
    fn mailbox<H: Send + 'static, L: Send + 'static>(
        high: usize,
        low: usize,
    ) -> (Self::Sender<H, L>, Self::Receiver<H, L>);

    /// Whether messages to an actor take another way than the runtime's own mailbox. The actor then waits for its
    /// feed in an extra arm of its loop, and nothing is added between the two.
    const FEEDS: bool = true;

    /// What an actor is sent messages through.
    type Handle<A: Actor>: Sender<A::HighPriorityMsg, A::LowPriorityMsg>;
    /// The other end of a [`Mailbox::Handle`], if it is not the runtime's own mailbox.
    type Feed<A: Actor>: Receiver<A::HighPriorityMsg, A::LowPriorityMsg>;
    /// What becomes the [`Mailbox::Handle`] of an actor once that has started.
    type Inlet<A: Actor>: Send;

    /// Makes the feed of an actor, with capacities as for [`Mailbox::mailbox`].
    ///
    /// # Panics
    ///
    /// If a capacity is 0.
    fn feed<A: Actor>(high: usize, low: usize) -> (Self::Inlet<A>, Self::Feed<A>);

    /// The handle of an actor that has started with the feed of this inlet.
    fn handle<A: Actor>(inlet: Self::Inlet<A>, actor: &ActorHandle<A>) -> Self::Handle<A>;
}

/// The sending half. It never waits: media is dropped instead, and control is retried.
pub trait Sender<H, L>: Clone + Send + 'static {
    /// Sends a control message.
    ///
    /// # Errors
    ///
    /// If there is no room or the receiver is gone.
    fn try_send_high(&mut self, message: H) -> Result<(), Refused<H>>;

    /// Sends a media message.
    ///
    /// # Errors
    ///
    /// If there is no room or the receiver is gone.
    fn try_send_low(&mut self, message: L) -> Result<(), Refused<L>>;

    /// Sends messages from the front of `messages` while there is room, and removes them. Returns how many were sent.
    ///
    /// # Errors
    ///
    /// If the receiver is gone. `messages` keeps what was not sent.
    fn try_send_low_many(&mut self, messages: &mut Vec<L>) -> Result<usize, Refused<()>>;
}

/// The receiving half.
pub trait Receiver<H, L>: Send + 'static {
    /// Waits for a message, then appends up to `limit`, control first. Returns how many; 0 means that every sender
    /// is gone and the mailbox is empty.
    ///
    /// # Cancel safety
    ///
    /// No message is lost when the future is dropped before it is ready.
    fn recv_many(
        &mut self,
        into: &mut Vec<Message<H, L>>,
        limit: usize,
    ) -> impl Future<Output = usize> + Send;

    /// Appends up to `limit` messages without waiting, control first. Returns how many.
    fn try_recv_many(&mut self, into: &mut Vec<Message<H, L>>, limit: usize) -> usize;

    /// The number of messages in the mailbox, and how often the receiver slept.
    fn observe(&self) -> Observed;
}
