//! Watching actors: counters, gauges, channels, threads, memory, events, the tree of actors, metrics.
//!
//! Nothing here is global: there is no table of all actors. Ask a handle, or walk a [`Tree`].

mod events;
mod memory;
#[cfg(feature = "metrics")]
mod metrics;
mod stats;
mod threads;
mod tree;

#[cfg(feature = "metrics")]
pub use self::metrics::publish_metrics;
pub use self::{
    events::{ActorEvent, EventMonitor},
    memory::resident_memory,
    stats::ActorStats,
    threads::ThreadStats,
    tree::Tree,
};
pub use lanemesh::{MailboxStats, Stats};

pub use crate::{
    cell::{Gauge, Gauges, Timing},
    util::histogram::Histogram,
};
