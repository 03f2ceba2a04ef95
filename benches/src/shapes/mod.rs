//! The shapes: traffic patterns, one file or folder for each.
//!
//! A shape makes a cell of every subject that takes part, for every set of parameters. A cell opens
//! its own channels and executor, checks that every message arrives exactly once, and joins every
//! task and thread that it started.

use crate::plan::Shape;

pub mod durable;
pub mod fan_in;
pub mod funnel;
pub mod idle_lanes;
pub mod latency;
pub mod memory;
pub mod mesh;
pub mod pinball;
pub mod priority;
pub mod remote;
pub mod runtime;
pub mod tasks;
pub mod threads;
pub mod uncontended;

/// All shapes, in the order of the report.
pub const ALL: &[Shape] = &[
    funnel::SHAPE,
    pinball::SHAPE,
    tasks::SHAPE,
    threads::SHAPE,
    mesh::SHAPE,
    uncontended::SHAPE,
    idle_lanes::SHAPE,
    priority::SHAPE,
    latency::SHAPE,
    memory::SHAPE,
    runtime::SHAPE,
    remote::SHAPE,
    durable::SHAPE,
];

/// The names of all shapes.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|shape| shape.name).collect()
}
