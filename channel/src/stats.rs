//! Statistics of a channel: plain values, counted by the receiver itself or on rare paths.

#[cfg(feature = "quanta")]
pub use crate::delay::DelayStats;

/// Statistics of one class of messages, a copy made by `stats()`.
///
/// All except `dropped`, `lanes_open`, `brief_lanes` and `senders` are counted by the receiver, so they add
/// nothing to the cost of a send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Senders that exist, without weak ones.
    pub senders: usize,
    /// Open lanes: of producers that have sent, and of dropped ones whose lanes are not drained
    /// yet.
    pub lanes_open: usize,
    /// Senders that were dropped after they had sent one message, so that each opened a lane for it:
    /// many of them are cheaper as clones of one [`SharedSender`](crate::SharedSender). With the
    /// feature `tracing`, 64 in a row are told of once, at level warn. They are not known, and not
    /// counted, in a channel with a [total capacity](crate::Builder::total_capacity) or a lane capacity
    /// of 1.
    pub brief_lanes: u64,
    /// Messages in all lanes; a snapshot.
    pub depth: usize,
    /// The most messages that the receiver has found in a lane when it began to visit it.
    pub high_water: usize,
    /// Messages received so far.
    pub messages: u64,
    /// How often the receiver was woken from sleep and found something.
    pub wakeups: u64,
    /// Messages that senders dropped because their lane was full, under [`Overflow::Drop`].
    ///
    /// [`Overflow::Drop`]: crate::Overflow::Drop
    pub dropped: u64,
    /// Messages that the receiver dropped for newer ones of their lane, as
    /// [`Builder::drop_oldest`] says.
    ///
    /// [`Builder::drop_oldest`]: crate::Builder::drop_oldest
    pub dropped_oldest: u64,
    /// Queueing delay; see [`DelayStats`].
    #[cfg(feature = "quanta")]
    pub delay: DelayStats,
}

/// Statistics of both classes of a mailbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailboxStats {
    /// The high-priority class.
    pub high: Stats,
    /// The low-priority class.
    pub low: Stats,
}
