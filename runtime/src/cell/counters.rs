//! What an actor counts and measures, shared with those who ask for it.

use crate::util::histogram::Recorder;

/// What the event loop counts: plain numbers that it alone writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) high: u64,
    pub(crate) low: u64,
    pub(crate) depth: u32,
    pub(crate) high_water: u32,
    /// Boxed, since most actors count none of them.
    events: Option<Box<EventCounters>>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EventCounters {
    pub(crate) batches: u64,
    pub(crate) extras: u64,
    pub(crate) notices: u64,
    pub(crate) expired: u64,
    pub(crate) redelivered: u64,
    pub(crate) dead_letters: u64,
    /// Messages with which a handler crashed and which are neither handled again nor dead letters.
    pub(crate) interrupted: u64,
    /// Messages that were in the mailbox at the end of the actor and are no dead letters.
    pub(crate) left: u64,
    /// Messages that other workers of a pool got.
    pub(crate) handed_on: u64,
    pub(crate) failures: u64,
}

impl Counters {
    pub(crate) fn events(&mut self) -> &mut EventCounters {
        self.events.get_or_insert_default()
    }

    /// Messages that were in the mailbox at the end.
    pub(crate) fn left(&self) -> u64 {
        self.events.as_ref().map_or(0, |events| events.left)
    }

    /// Notes how many messages wait now.
    pub(crate) fn note_depth(&mut self, depth: usize) {
        let depth = u32::try_from(depth).unwrap_or(u32::MAX);
        self.depth = depth;
        self.high_water = self.high_water.max(depth);
    }

    /// Copies `others`, reusing the allocated memory.
    pub(crate) fn copy(&mut self, others: &Counters) {
        self.high = others.high;
        self.low = others.low;
        self.depth = others.depth;
        self.high_water = self.high_water.max(others.high_water);
        if let Some(events) = &others.events {
            *self.events() = **events;
        }
    }
}

/// The two histograms of an actor, made at the first sample: an idle actor has none.
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
    /// Every n-th message; 1 measures every message, and 0 is the same as [`Timing::Off`].
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
