//! A number that is counted by many, and read for people.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

// ORDERING of all: Relaxed: a statistic, on which nothing else depends.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub(crate) fn add(&self) {
        self.add_many(1);
    }

    pub(crate) fn add_many(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub(crate) fn set(&self, now: u64) {
        self.0.store(now, Relaxed);
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
