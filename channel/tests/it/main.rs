//! The integration tests, in one binary, so that they link once.
//!
//! Not here, because something global to the process forbids it: `allocation`,
//! `high_first_while_lanes_are_freed` and `memory_access`, each with a global allocator of its own;
//! `membarrier`, which registers the process for the system call of that name and so changes how
//! every channel in it sends; and `loom`, which is built with `cfg(loom)`.
#![cfg(not(loom))]

#[path = "../common/mod.rs"]
mod common;

mod bounds;
mod cancellation;
#[cfg(feature = "quanta")]
mod delay;
mod drop_oldest;
mod found_by_fuzzing;
mod interface;
mod mesh;
mod messages;
mod observers;
mod panicking_wakers;
mod promises;
mod races;
mod reentrancy;
mod rings;
mod select;
mod shared;
mod stress;
mod unbounded;
