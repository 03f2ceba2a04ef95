//! Per-actor counters, copied out as values.
//!
//! The loop counts in plain numbers of its own and publishes a copy whenever it goes idle, when it
//! finds itself behind, and every 128 messages, so that a reading is consistent within itself. It
//! does not while a handler waits: a handle then adds what it knows of its own lanes. There is no table
//! of all actors: ask a handle, or walk the [`Tree`](crate::Tree).

use std::sync::atomic::Ordering;

use crate::{
    cell::{Phase, Shared},
    util::histogram::{Histogram, Recorder},
};

/// What the loop counts. Plain numbers, written by the loop alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) high: u64,
    pub(crate) low: u64,
    pub(crate) depth: u32,
    pub(crate) high_water: u32,
    /// In a box, since most actors count none of them.
    rare: Option<Box<RareCounters>>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RareCounters {
    pub(crate) batches: u64,
    pub(crate) extras: u64,
    pub(crate) notices: u64,
    pub(crate) expired: u64,
    pub(crate) redelivered: u64,
    pub(crate) dead_letters: u64,
    pub(crate) failures: u64,
}

impl Counters {
    pub(crate) fn rare(&mut self) -> &mut RareCounters {
        self.rare.get_or_insert_default()
    }

    /// Becomes a copy of the others, in the memory that is there.
    pub(crate) fn copy(&mut self, others: &Counters) {
        self.high = others.high;
        self.low = others.low;
        self.depth = others.depth;
        self.high_water = self.high_water.max(others.high_water);
        if let Some(rare) = &others.rare {
            *self.rare() = **rare;
        }
    }
}

/// The two histograms of an actor; made at the first sample, so an idle actor has none.
pub(crate) struct Histograms {
    pub(crate) queueing: Recorder,
    pub(crate) handling: Recorder,
}

impl Histograms {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self {
            queueing: Recorder::new(),
            handling: Recorder::new(),
        })
    }
}

/// How often queueing and handling times are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Never.
    Off,
    /// Every n-th message; 1 is each of them. 0 counts as [`Timing::Off`].
    Every(u32),
}

impl Default for Timing {
    fn default() -> Self {
        Self::Every(256)
    }
}

impl Timing {
    pub(crate) fn interval(self) -> u32 {
        match self {
            Self::Off => 0,
            Self::Every(interval) => interval,
        }
    }
}

/// A copy of an actor's counters. Counts go on over restarts.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ActorStats {
    /// High-priority messages handled.
    pub high: u64,
    /// Low-priority messages handled, those in batches included.
    pub low: u64,
    /// Batches handled.
    pub batches: u64,
    /// Turns of the extra arms of [`actor_loop!`](crate::actor_loop).
    pub extras: u64,
    /// Exit notices handled.
    pub notices: u64,
    /// Messages dropped since their deadline had passed when the loop came to them.
    pub expired: u64,
    /// Messages dropped at a full lane by [`Overflow::Drop`](crate::Overflow::Drop).
    pub dropped: u64,
    /// Sends refused at a full lane; those that wait for room are not.
    pub rejected: u64,
    /// Messages handled again after a crash.
    pub redelivered: u64,
    /// Messages handed to the dead-letter lane.
    pub dead_letters: u64,
    /// Incarnations that ended in a failure.
    pub failures: u64,
    /// Restarts: incarnations after the first.
    pub restarts: u64,
    /// Messages queued at the loop's last look. While a handler runs, what is sent meanwhile counts
    /// as far as the handle that is asked has sent it; a [`Tree`](crate::Tree) has sent nothing.
    pub depth: usize,
    /// The deepest that the mailbox was seen, in the same way.
    pub high_water: usize,
    /// Time from send to handler for a sample of the messages ([`Timing`]).
    pub queueing: Histogram,
    /// Time in handlers for a sample of the messages ([`Timing`]).
    pub handling: Histogram,
}

impl ActorStats {
    /// `queued` is how many messages the caller knows to be queued.
    pub(crate) fn of(shared: &Shared, queued: usize) -> Self {
        let mut counters = shared.counters(u32::try_from(queued).unwrap_or(u32::MAX));
        let rare = *counters.rare();
        let times = shared.histograms.get();
        Self {
            high: counters.high,
            low: counters.low,
            batches: rare.batches,
            extras: rare.extras,
            notices: rare.notices,
            expired: rare.expired,
            // ORDERING: statistics, counted at the senders; no other data hangs on them.
            dropped: shared.dropped.load(Ordering::Relaxed),
            rejected: shared.rejected.load(Ordering::Relaxed),
            redelivered: rare.redelivered,
            dead_letters: rare.dead_letters,
            failures: rare.failures,
            restarts: u64::from(shared.incarnation().saturating_sub(1)),
            depth: if shared.phase() == Phase::Dead {
                0
            } else {
                counters.depth as usize
            },
            high_water: counters.high_water as usize,
            queueing: times
                .map(|times| times.queueing.snapshot())
                .unwrap_or_default(),
            handling: times
                .map(|times| times.handling.snapshot())
                .unwrap_or_default(),
        }
    }

    /// All messages handled.
    pub fn messages(&self) -> u64 {
        self.high + self.low
    }
}
