//! The shapes of traffic, a file each.
//!
//! A shape turns every subject it concerns into cells. The work behind a cell opens its own channels
//! and its own executor, checks that every message arrives once, and joins all it started.

use crate::plan::Shape;

pub mod fan_in;
pub mod funnel;
pub mod idle_lanes;
pub mod latency;
pub mod memory;
pub mod pinball;
pub mod priority;
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
    uncontended::SHAPE,
    idle_lanes::SHAPE,
    priority::SHAPE,
    latency::SHAPE,
    memory::SHAPE,
    runtime::SHAPE,
];

/// The names of all shapes.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|shape| shape.name).collect()
}
