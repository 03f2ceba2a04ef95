//! A selective forwarding unit (SFU) built on the lanemesh mailbox: it forwards media between browsers and RTP
//! senders, and can run on other channels to compare them with the mailbox.
//!
//! It forwards only: it does not transcode, mix or record.
//!
//! The public items are those that the binary, the tests and the fuzz targets use. `ARCHITECTURE.md` has the code
//! map.

#![deny(unsafe_code)]

// The tests of the library use support code of the integration tests, which names the library.
#[cfg(test)]
extern crate self as sfu_demo;

mod control;
mod cpu_time;
pub mod http;
pub mod ids;
pub mod mailbox;
pub mod media;
mod messages;
pub mod net;
pub mod server;
pub mod session;
pub mod shard;
pub mod stats;
pub mod tools;
