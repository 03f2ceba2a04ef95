//! Sockets and what travels on them: UDP, TCP, and the views of packets.

pub mod classify;
pub mod gate;
pub mod origin;
pub mod rtp;
pub mod tcp;
pub mod udp;
