//! The mailbox with two priorities: two fan-ins, a sender for both, and a receiver that takes from
//! the high one first.

pub(crate) mod class_receiver;
pub(crate) mod classes;
pub(crate) mod iter;
pub(crate) mod receiver;
pub(crate) mod sender;
pub(crate) mod shared;

use crate::error::TrySendError;

/// The most low-priority messages that a batch takes before it looks for high-priority ones again.
pub const HIGH_LOOK_INTERVAL: usize = 8;

/// A message from a mailbox, with its priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message<High, Low> {
    /// A high-priority message.
    High(High),
    /// A low-priority message.
    Low(Low),
}

/// What [`MailboxSender::send_low`](crate::MailboxSender::send_low) does when the low lane is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// Waits for room.
    #[default]
    Wait,
    /// Returns the message as [`TrySendError::Full`](crate::TrySendError::Full).
    Reject,
    /// Drops the new message, and counts it in [`Stats::dropped`].
    ///
    /// [`Stats::dropped`]: crate::Stats::dropped
    Drop,
}

impl Overflow {
    /// What becomes of a message that was sent without waiting, as [`Wait`](Self::Wait) never does.
    fn settle<T>(
        self,
        sent: Result<(), TrySendError<T>>,
        count_drop: impl FnOnce(),
    ) -> Result<Sent, TrySendError<T>> {
        match sent {
            Ok(()) => Ok(Sent::Queued),
            Err(TrySendError::Full(message)) if self == Self::Drop => {
                count_drop();
                drop(message);
                Ok(Sent::Dropped)
            }
            Err(error) => Err(error),
        }
    }
}

/// What became of a message passed to `send_low`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The receiver gets it, or drops it when it is dropped itself.
    Queued,
    /// It was dropped because the lane was full, under [`Overflow::Drop`].
    Dropped,
}
