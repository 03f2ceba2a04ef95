//! What the lanes of a handle do when they are full, and how long their messages live.

use std::time::Duration;

use lanemesh::Overflow;

use crate::util::timer::nanos;

/// What each lane of a handle does when it is full, and how long its messages live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policies {
    pub(crate) high: Overflow,
    pub(crate) low: Overflow,
    /// In nanoseconds; 0 is for ever.
    pub(crate) expiry: u64,
}

impl Policies {
    pub(crate) fn set_expiry(&mut self, expiry: Option<Duration>) {
        // A life of no time is short, not endless.
        self.expiry = expiry.map_or(0, |expiry| nanos(expiry).max(1));
    }
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            high: Overflow::Wait,
            low: Overflow::Wait,
            expiry: 0,
        }
    }
}
