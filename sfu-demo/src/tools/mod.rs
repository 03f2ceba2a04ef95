//! What the binary offers beside the server: load, replay, a relay of plain RTP, and a client.

pub mod bench;
pub mod capture;
pub mod client;
pub(crate) mod loopback;
pub mod relay;
pub mod replay;
