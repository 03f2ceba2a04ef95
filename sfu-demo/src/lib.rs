//! A selective forwarding unit (SFU) on the lanemesh mailbox: browsers and RTP senders meet through
//! it, and the mailbox under it can be exchanged for others to see what it brings.
//!
//! It forwards; it does not transcode, mix or record.

#![deny(unsafe_code)]

pub mod actors;
pub mod bench;
pub mod capture;
pub mod client;
pub mod config;
pub mod cpu;
pub mod demux;
pub mod http;
pub mod lobby;
pub mod mailbox;
pub mod relay;
pub mod replay;
pub mod room;
pub mod router;
pub mod rtp;
pub mod serve;
pub mod session;
pub mod shard;
mod stage;
pub mod stats;
pub mod tcp;
pub mod udp;
