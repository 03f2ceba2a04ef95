//! Why a measurement failed.

use std::error::Error;
use std::fmt;

/// Why a subject failed; never that it was slow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The numbers of messages sent and received differ.
    Lost {
        /// Messages that a send accepted.
        sent: u64,
        /// Messages that came out.
        received: u64,
    },
    /// As many came out as went in, but not the same ones: a loss hidden by a duplicate.
    Altered,
    /// The watchdog gave up waiting.
    Hung,
    /// The subject panicked.
    Panicked(String),
    /// The subject returned an error where none may occur.
    Failed(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Lost { sent, received } => {
                write!(f, "{sent} messages were sent, {received} received")
            }
            Fault::Altered => f.write_str("the received messages are not those that were sent"),
            Fault::Hung => f.write_str("no end in sight: given up"),
            Fault::Panicked(what) => write!(f, "panicked: {what}"),
            Fault::Failed(what) => f.write_str(what),
        }
    }
}

impl Error for Fault {}

/// Fails with the given words unless the condition holds.
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
