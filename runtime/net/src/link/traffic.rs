//! What has crossed a connection, counted.

use crate::counter::Counter;

/// Bytes of one connection of a link, since it is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes that were handed to the connection.
    pub written: u64,
    /// Bytes that have arrived.
    pub read: u64,
}

#[derive(Default)]
pub(super) struct Meter {
    written: Counter,
    read: Counter,
}

impl Meter {
    pub(super) fn wrote(&self, bytes: usize) {
        self.written.add_many(bytes as u64);
    }

    pub(super) fn has_read(&self, bytes: usize) {
        self.read.add_many(bytes as u64);
    }

    pub(super) fn total(&self) -> Traffic {
        Traffic {
            written: self.written.now(),
            read: self.read.now(),
        }
    }
}
