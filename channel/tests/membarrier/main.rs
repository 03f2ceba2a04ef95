//! Tests that register the process for `membarrier`.
//!
//! In a binary of their own: the registration is global to the process, and changes how all
//! channels in it send.
#![cfg(not(loom))]

#[path = "../common/mod.rs"]
mod common;

#[cfg(not(miri))]
mod properties;
#[cfg(all(
    feature = "membarrier",
    any(target_os = "linux", target_os = "android"),
    not(miri)
))]
mod unfenced;
