//! Watching actors: counters, events, the tree of actors, metrics.

pub(crate) mod events;
#[cfg(feature = "metrics")]
pub(crate) mod metrics;
pub(crate) mod stats;
pub(crate) mod tree;
