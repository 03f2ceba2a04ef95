//! The lanemesh channel and runtime beside their peers.
//!
//! The adapters, shapes and reports behind `compare` and the criterion benches. Nothing here is an
//! interface for others, and no result depends on anything but this crate and `Cargo.lock`.

pub mod plan;
pub mod report;
pub mod rig;
pub mod rivals;
pub mod runner;
pub mod shapes;
