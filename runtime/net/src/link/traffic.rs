//! What has crossed a connection, counted.

use std::sync::atomic::{AtomicU64, Ordering};

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
    written: AtomicU64,
    read: AtomicU64,
}

impl Meter {
    pub(super) fn wrote(&self, bytes: usize) {
        // ORDERING: Relaxed: a statistic.
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn has_read(&self, bytes: usize) {
        // ORDERING: Relaxed: a statistic.
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn total(&self) -> Traffic {
        // ORDERING: Relaxed: statistics.
        Traffic {
            written: self.written.load(Ordering::Relaxed),
            read: self.read.load(Ordering::Relaxed),
        }
    }
}
