//! What the lanes of a handle do when they are full, and when their messages expire.

use std::time::Duration;

use lanemesh::Overflow;

use crate::util::timer::nanos;

/// What each lane of a handle does when it is full, and when its messages expire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policies {
    pub(crate) high: Overflow,
    pub(crate) low: Overflow,
    /// Nanoseconds after which a message expires; 0 is never.
    pub(crate) expiry: u64,
}

impl Policies {
    pub(crate) fn set_expiry(&mut self, expiry: Option<Duration>) {
        // A zero duration expires at once; 0 would mean never.
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
