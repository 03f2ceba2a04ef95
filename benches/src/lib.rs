//! The lanemesh channel and runtime beside their peers.
//!
//! The adapters, shapes and reports behind `compare` and the criterion benches. Nothing here is an
//! interface for others, and no result depends on anything but this crate and `Cargo.lock`.

pub mod actors;
pub mod alloc;
pub mod bars;
pub mod channels;
pub mod counts;
pub mod machine;
pub mod payload;
pub mod plan;
pub mod report;
pub mod runner;
pub mod shapes;
pub mod stats;
