//! The two-class mailbox behind which the SFU runs, as one small trait with static dispatch.
//!
//! It lets `--mailbox` put another channel in the mesh's place. It does not hide what a peer cannot
//! do: none of the peers has a priority class, so each is used as a pair of channels, and a peer
//! whose receiving future is not cancel-safe (kanal) or that has none (crossbeam) gets a waker
//! beside it (`notify`).

use std::fmt;
use std::future::Future;
use std::time::Duration;

mod kind;
pub mod mesh;
mod notify;
pub mod pair;
pub mod rivals;

pub use kind::{MailboxKind, OnMailbox};
/// A message, by class: control (join, leave, keyframe request, layer, disconnect) is high, media low.
pub use lanemesh::Message;

/// Why a message was not taken; it gives the message back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused<T> {
    /// The class is full.
    Full(T),
    /// The receiver is gone.
    Closed(T),
}

impl<T> Refused<T> {
    /// The message that was not taken.
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

/// What a receiver can tell of itself; plain values, copied out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observed {
    /// Control messages that wait.
    pub high_depth: usize,
    /// Media messages that wait.
    pub low_depth: usize,
    /// How often the receiver had to go to sleep.
    pub sleeps: u64,
}

/// A kind of mailbox: a factory of sender and receiver.
pub trait Mailbox: fmt::Debug + Send + Sync + 'static {
    /// The name that `--mailbox` takes.
    const NAME: &'static str;

    /// Whether capacities count for each sender rather than for all together.
    const PER_SENDER: bool = false;

    /// The sending half.
    type Sender<H: Send + 'static, L: Send + 'static>: Sender<H, L>;
    /// The receiving half.
    type Receiver<H: Send + 'static, L: Send + 'static>: Receiver<H, L>;

    /// Makes a mailbox for at most `high` control and `low` media messages: of each sender for the
    /// mesh, which bounds by sender, and of all senders together for the peers.
    ///
    /// # Panics
    ///
    /// If a capacity is 0.
    fn mailbox<H: Send + 'static, L: Send + 'static>(
        high: usize,
        low: usize,
    ) -> (Self::Sender<H, L>, Self::Receiver<H, L>);
}

/// The sending half. It never waits: the media path drops instead, and control retries.
pub trait Sender<H, L>: Clone + Send + 'static {
    /// Sends a control message.
    ///
    /// # Errors
    ///
    /// If the class is full or the receiver gone.
    fn try_send_high(&mut self, message: H) -> Result<(), Refused<H>>;

    /// Sends a media message.
    ///
    /// # Errors
    ///
    /// If the class is full or the receiver gone.
    fn try_send_low(&mut self, message: L) -> Result<(), Refused<L>>;

    /// Sends from the front of `messages` what fits and takes it out; says how many went.
    ///
    /// # Errors
    ///
    /// If the receiver is gone; `messages` keeps what did not go.
    fn try_send_low_many(&mut self, messages: &mut Vec<L>) -> Result<usize, Refused<()>>;
}

/// The receiving half.
pub trait Receiver<H, L>: Send + 'static {
    /// Waits until there is something, appends up to `limit` messages, control first, and says how
    /// many; 0 means that every sender is gone and nothing waits.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped before it is ready.
    fn recv_many(
        &mut self,
        into: &mut Vec<Message<H, L>>,
        limit: usize,
    ) -> impl Future<Output = usize> + Send;

    /// Appends up to `limit` messages that are there now, control first, and says how many.
    fn try_recv_many(&mut self, into: &mut Vec<Message<H, L>>, limit: usize) -> usize;

    /// Depth and sleeps.
    fn observe(&self) -> Observed;
}

/// Sends a control message, and tries again for as long as the class is full. Only for receivers that
/// never wait for the sender.
pub(crate) async fn send_high<H, L>(sender: &mut impl Sender<H, L>, mut message: H) {
    loop {
        match sender.try_send_high(message) {
            Ok(()) | Err(Refused::Closed(_)) => return,
            Err(Refused::Full(back)) => message = back,
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
