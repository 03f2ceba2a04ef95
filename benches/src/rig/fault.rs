//! Reasons for which a measurement fails.

use std::error::Error;
use std::fmt;

/// Why a subject failed. Being slow is not a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The numbers of messages sent and received differ.
    Lost {
        /// Messages that were sent successfully.
        sent: u64,
        /// Messages that were received.
        received: u64,
    },
    /// The numbers are equal but the messages differ: a loss hidden by a duplicate, or a corrupted
    /// message.
    Altered,
    /// Messages of one producer have overtaken each other.
    Reordered,
    /// The run did not finish before the watchdog's timeout.
    Hung,
    /// The subject panicked.
    Panicked(String),
    /// The subject returned an error, or something else happened that must not.
    Failed(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Lost { sent, received } => {
                write!(f, "{sent} messages were sent, {received} received")
            }
            Fault::Altered => f.write_str("the received messages differ from those sent"),
            Fault::Reordered => f.write_str("messages of one producer came in another order"),
            Fault::Hung => f.write_str("timed out"),
            Fault::Panicked(what) => write!(f, "panicked: {what}"),
            Fault::Failed(what) => f.write_str(what),
        }
    }
}

impl Error for Fault {}

/// Fails with this message unless the condition holds.
///
/// # Errors
///
/// [`Fault::Failed`].
pub fn ensure(condition: bool, what: &str) -> Result<(), Fault> {
    if condition {
        Ok(())
    } else {
        Err(Fault::Failed(what.to_owned()))
    }
}
