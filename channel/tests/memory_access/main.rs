//! Which memory a send and a receive touch.
//!
//! In a binary of its own: its global allocator puts the watched values on pages of their own.
#![cfg(not(loom))]

#[path = "../common/mod.rs"]
mod common;
#[cfg(all(unix, not(miri)))]
mod pages;

#[cfg(all(unix, not(miri)))]
mod busy_send;
mod idle_lanes;

#[cfg(all(unix, not(miri)))]
#[global_allocator]
static ALLOCATOR: pages::Allocator = pages::Allocator;
