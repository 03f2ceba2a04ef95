//! For tests of programs that use actors: a probe, a sink, and a repeatable simulation.
//!
//! Handles need nothing special in tests. The feature `testing` adds `simulate`, which pauses
//! tokio's clock and orders tasks by a seed.

mod probe;
#[cfg(feature = "testing")]
mod simulation;

pub use probe::{Probe, ProbeActor, ProbeError, ProbeHandle, Probed, Sink, probe};
#[cfg(feature = "testing")]
pub use simulation::simulate;
