//! Benchmarks that compare the lanemesh channel and runtime with other crates.
//!
//! This library is what the binary `compare` and the criterion benches share; it is not an
//! interface for other crates. From the bottom up:
//!
//! - [`rig`]: payloads with loss detection, statistics, the executor, the counting allocator.
//! - [`rivals`]: adapters that put every channel and actor runtime behind the same traits.
//! - [`plan`]: cells, the unit of measurement, and the selection of cells on the command line.
//! - [`shapes`]: the traffic patterns; each turns the rivals into cells.
//! - [`runner`]: runs the cells and collects the figures.
//! - [`remote`]: runs cells in a second process, for the figures without membarrier.
//! - [`report`]: tables, targets, `results.json`, `RESULTS.md` and the plots.
//!
//! `README.md` says how to run it, how to read a result, and where to change what.

pub mod plan;
pub mod remote;
pub mod report;
pub mod rig;
pub mod rivals;
pub mod runner;
pub mod shapes;

/// The examples of the README at the root, compiled and run with the others.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct RootReadme;
