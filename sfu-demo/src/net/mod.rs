//! Sockets and what travels on them: UDP, TCP, and the views of packets.

pub mod classify;
pub(crate) mod gate;
pub mod origin;
pub mod rtp;
pub(crate) mod tcp;
pub mod udp;
