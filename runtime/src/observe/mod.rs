//! Watching actors: counters, events, the tree of actors, metrics.
//!
//! Nothing here is global: there is no table of all actors. Ask a handle, or walk a [`Tree`].

mod events;
#[cfg(feature = "metrics")]
mod metrics;
mod stats;
mod tree;

#[cfg(feature = "metrics")]
pub use self::metrics::publish_metrics;
pub use self::{
    events::{ActorEvent, EventMonitor},
    stats::ActorStats,
    tree::Tree,
};
pub use crate::{cell::Timing, util::histogram::Histogram};
