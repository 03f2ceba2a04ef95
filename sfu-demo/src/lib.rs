//! A selective forwarding unit (SFU) on the lanemesh mailbox: browsers and RTP senders meet through
//! it, and the mailbox under it can be exchanged for others to see what it brings.
//!
//! It forwards; it does not transcode, mix or record.

#![deny(unsafe_code)]

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
