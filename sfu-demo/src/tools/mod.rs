//! The tools of the binary beside the server: a relay of plain RTP, replay of captures, load, and a client.

pub mod bench;
pub mod capture;
pub mod client;
pub(crate) mod loopback;
pub mod relay;
pub mod replay;
