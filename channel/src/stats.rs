//! What a receiver can say of its channel: plain values, counted by the receiver itself or on rare paths.

#[cfg(feature = "quanta")]
pub use crate::delay::DelayStats;

/// Figures of one class of messages, copied out by `stats()`.
///
/// All but `dropped`, `lanes_open` and `senders` are counted by the receiver as it goes, so that a send
/// pays nothing for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Producers alive.
    pub senders: usize,
    /// Lanes open: of producers that have sent through a lane, and of dropped ones not yet drained.
    pub lanes_open: usize,
    /// Messages waiting now, in all lanes; a snapshot.
    pub depth: usize,
    /// The most messages that the receiver has found waiting in one lane when it came to it.
    pub high_water: usize,
    /// Messages received so far.
    pub messages: u64,
    /// Times that the receiver was woken from sleep and found something.
    pub wakeups: u64,
    /// Messages dropped by senders because their lane was full, under [`Overflow::Drop`].
    ///
    /// [`Overflow::Drop`]: crate::Overflow::Drop
    pub dropped: u64,
    /// Queueing delay; see [`DelayStats`].
    #[cfg(feature = "quanta")]
    pub delay: DelayStats,
}

/// Figures of both classes of a mailbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailboxStats {
    /// The high-priority class.
    pub high: Stats,
    /// The low-priority class.
    pub low: Stats,
}
