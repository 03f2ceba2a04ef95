//! For the tests of users: a probe, a sink, and a simulation that repeats itself.
//!
//! Handles work in tests as they are. With the feature `testing` there is also `simulate`, which
//! pauses tokio's clock and shakes the order of tasks by a seed.

mod probe;
#[cfg(feature = "testing")]
mod simulation;

pub use probe::{Probe, ProbeError, Probed, Sink, probe};
#[cfg(feature = "testing")]
pub use simulation::simulate;
